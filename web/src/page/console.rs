//! The console's frame: rail, head, banners, flash. On a phone the rail becomes a bar at the bottom.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::{document, zone};
use crate::reader::Reader;
use crate::ui::banner::{self, Banner, Flash};
use crate::ui::icon::{self, Icon, icon};
use crate::ui::words::Bounded;
use crate::ui::{dialog, time};

/// The screens of the rail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    Overview,
    Inbox,
    Orders,
    Customers,
    Products,
    Stock,
    Failures,
    Jobs,
    Queues,
    Workers,
    Clock,
    Audit,
    Activity,
    Users,
    Me,
}

use Screen::{
    Activity, Audit, Clock, Customers, Failures, Inbox, Jobs, Me, Orders, Overview, Products, Queues, Stock, Users,
    Workers,
};

const GROUPS: [&[Screen]; 5] = [
    &[Overview, Inbox],
    &[Orders, Customers, Products, Stock],
    &[Failures, Jobs, Queues, Workers, Clock],
    &[Audit, Activity],
    &[Users, Me],
];

impl ConsoleFrame {
    fn has(&self, screen: Screen) -> bool {
        self.screens.contains(&screen) && (self.admin || screen != Users)
    }

    /// A link to an object of a screen, or its words where there is no such screen.
    pub fn link(&self, screen: Screen, href: &str, words: &str) -> Markup {
        html! { @if self.has(screen) { a href=(href) { (words) } } @else { (words) } }
    }
}

impl Screen {
    /// All of them.
    pub const ALL: &[Self] = &[
        Overview, Inbox, Orders, Customers, Products, Stock, Failures, Jobs, Queues, Workers, Clock, Audit, Activity,
        Users, Me,
    ];

    fn words(self) -> &'static str {
        match self {
            Overview => "Overview",
            Inbox => "Inbox",
            Orders => "Orders",
            Customers => "Customers",
            Products => "Products",
            Stock => "Stock",
            Failures => "Failures",
            Jobs => "Jobs",
            Queues => "Queues",
            Workers => "Workers",
            Clock => "Clock",
            Audit => "Audit",
            Activity => "Activity",
            Users => "Users",
            Me => "Me",
        }
    }

    fn href(self) -> String {
        match self {
            Overview => "/console".to_owned(),
            other => format!("/console/{}", other.words().to_lowercase()),
        }
    }

    fn sign(self) -> Icon {
        match self {
            Overview => Icon::Home,
            Inbox => Icon::Inbox,
            Orders => Icon::Orders,
            Customers => Icon::People,
            Products => Icon::Tag,
            Stock => Icon::Box,
            Failures => Icon::Failures,
            Jobs => Icon::Jobs,
            Queues => Icon::Queue,
            Workers => Icon::Worker,
            Clock => Icon::Clock,
            Audit => Icon::Audit,
            Activity => Icon::Activity,
            Users | Me => Icon::Person,
        }
    }
}

/// Whether the page follows what happens.
#[derive(Debug, Clone, Copy)]
pub enum Live {
    On,
    Paused,
    LostSince(DateTime<Utc>),
}

/// What every console page shows around its content.
#[derive(Debug, Clone)]
pub struct ConsoleFrame {
    pub reader: Reader,
    pub user: String,
    pub admin: bool,
    /// The screens that this process serves. A link to another one is plain text.
    pub screens: &'static [Screen],
    /// `production`, `staging`; none is not shown.
    pub environment: String,
    /// None: the pages do not follow what happens.
    pub live: Option<Live>,
    /// There is a search over everything.
    pub searches: bool,
    /// Orders that wait for a person, beside *Inbox*.
    pub waiting: Option<Bounded>,
    pub banners: Vec<Banner>,
    pub flash: Option<Flash>,
    /// What stands in the search box.
    pub search: String,
    pub version: String,
}

const SCRIPTS: &[&str] = &["time.js", "form.js", "dialog.js", "keys.js", "chart.js"];

/// A page of the console. `title` is what the tab says.
pub fn page(frame: &ConsoleFrame, here: Screen, title: &str, content: Markup) -> Markup {
    let body = html! {
        (rail(frame, here))
        (head(frame))
        main id="main" class="main" tabindex="-1" {
            (banner::banners(&frame.banners))
            @if let Some(flash) = &frame.flash { (banner::flash(flash)) }
            (content)
        }
        footer class="foot" {
            (zone(&frame.reader)) " · Millrace " (frame.version) " · "
            a href="#keys" data-open="keys" { "Keys" }
        }
        (bottom_bar(frame, here))
        (dialog::dialog("keys", "Keys", keys(frame)))
    };
    document(&frame.reader, "console", &format!("{title} · Millrace"), SCRIPTS, body)
}

fn rail(frame: &ConsoleFrame, here: Screen) -> Markup {
    html! {
        nav class="rail" aria-label="Main" {
            a class="brand" href="/console" { (icon::mark()) "Millrace" }
            @for group in GROUPS {
                @if group.iter().any(|screen| frame.has(*screen)) {
                    ul { @for screen in group { @if frame.has(*screen) { li { (entry(frame, here, *screen)) } } } }
                }
            }
        }
    }
}

fn entry(frame: &ConsoleFrame, here: Screen, screen: Screen) -> Markup {
    html! {
        a href=(screen.href()) aria-current=[(screen == here).then_some("page")] {
            (icon(screen.sign()))
            span { (screen.words()) }
            @if let (Inbox, Some(waiting)) = (screen, frame.waiting) {
                span class="count" { (waiting.short()) span class="hidden" { " waiting" } }
            }
        }
    }
}

fn head(frame: &ConsoleFrame) -> Markup {
    html! {
        header class="head" {
            a class="brand" href="/console" { (icon::mark()) span class="hidden" { "Overview" } }
            @if frame.searches { (search(frame)) } @else { span class="search" {} }
            @if let Some(now) = frame.live { (live(frame, now)) }
            @if !frame.environment.is_empty() { span class="environment" { (frame.environment) } }
            @if frame.has(Me) {
                a class="user" href="/console/me" title=(frame.user) { (name_of(frame)) }
            } @else {
                span class="user" title=(frame.user) { (name_of(frame)) }
                form method="post" action="/console/signout" { button type="submit" class="button light" { "Sign out" } }
            }
        }
    }
}

fn search(frame: &ConsoleFrame) -> Markup {
    html! {
        form class="search" method="get" action="/console/search" role="search" {
            label class="hidden" for="search" { "Search everything" }
            (icon(Icon::Search))
            input id="search" name="q" type="search" value=(frame.search) placeholder="Order, customer, SKU, tracking number" autocomplete="off";
            kbd aria-hidden="true" { "/" }
        }
    }
}

fn name_of(frame: &ConsoleFrame) -> Markup {
    html! { span class="avatar" aria-hidden="true" { (initials(&frame.user)) } span class="name" { (frame.user) } }
}

fn live(frame: &ConsoleFrame, now: Live) -> Markup {
    let (class, words, verb) = match now {
        Live::On => ("live on", "Live".to_owned(), "Pause"),
        Live::Paused => ("live", "Paused".to_owned(), "Go on"),
        Live::LostSince(at) => {
            ("live lost", format!("Not live since {}, trying again", time::text(&frame.reader, at)), "Pause")
        }
    };
    html! {
        div class=(class) data-live {
            span role="status" { span class="dot" {} (words) }
            button type="button" class="button light" data-live-pause { (verb) }
        }
    }
}

/// Two letters of a name.
fn initials(name: &str) -> String {
    name.split_whitespace().filter_map(|word| word.chars().next()).take(2).collect()
}

fn bottom_bar(frame: &ConsoleFrame, here: Screen) -> Markup {
    let screens: Vec<Screen> = GROUPS.iter().copied().flatten().copied().filter(|screen| frame.has(*screen)).collect();
    // With the search and *More* there are five places.
    let fit = if screens.len() <= 5 && !frame.searches { screens.len() } else { 3 };
    let first: Vec<Screen> = match fit {
        3 if frame.has(Inbox) => vec![Overview, Inbox, Orders],
        fit => screens.iter().copied().take(fit).collect(),
    };
    let more: Vec<Screen> = screens.into_iter().filter(|screen| !first.contains(screen)).collect();
    html! {
        nav class="bottom-bar" aria-label="Main, short" {
            @for screen in &first { (entry(frame, here, *screen)) }
            @if frame.searches { a href="/console/search" { (icon(Icon::Search)) span { "Search" } } }
            @if !more.is_empty() {
                details {
                    summary { (icon(Icon::Dots)) span { "More" } }
                    ul { @for screen in &more { li { (entry(frame, here, *screen)) } } }
                }
            }
        }
    }
}

type Keys = Vec<(&'static str, Vec<(&'static str, &'static str)>)>;

/// The keys that do something on the pages of this process.
fn keys(frame: &ConsoleFrame) -> Markup {
    const GO: [(Screen, &str); 10] = [
        (Orders, "g o"),
        (Inbox, "g i"),
        (Jobs, "g j"),
        (Failures, "g f"),
        (Queues, "g q"),
        (Workers, "g w"),
        (Stock, "g s"),
        (Products, "g p"),
        (Customers, "g c"),
        (Activity, "g a"),
    ];
    let mut anywhere = vec![("/", "Search or filter")];
    if frame.searches {
        anywhere.push(("Ctrl K", "Open the palette"));
    }
    anywhere.extend([("?", "Show these keys"), (".", "Actions of this page")]);
    if frame.live.is_some() {
        anywhere.push(("p", "Pause live updates"));
    }
    anywhere.push(("t", "Light, dark or as the system"));
    let lists = vec![
        ("j", "Next row"),
        ("k", "Row before"),
        ("Enter", "Open the row"),
        ("x", "Select the row"),
        ("[", "Newer page"),
        ("]", "Older page"),
    ];
    let go = GO.iter().filter(|(screen, _)| frame.has(*screen)).map(|(screen, keys)| (*keys, screen.words())).collect();
    let groups: Keys = vec![("Anywhere", anywhere), ("Lists", lists), ("Go to", go)];
    dialog::keys(&groups)
}
