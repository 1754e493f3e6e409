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

impl Screen {
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
pub struct Frame {
    pub reader: Reader,
    pub user: String,
    pub admin: bool,
    /// `production`, `staging`
    pub environment: String,
    pub live: Live,
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
pub fn page(frame: &Frame, here: Screen, title: &str, content: Markup) -> Markup {
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
        (dialog::dialog("keys", "Keys", dialog::keys(KEYS)))
    };
    document(&frame.reader, "console", &format!("{title} · Millrace"), SCRIPTS, body)
}

fn rail(frame: &Frame, here: Screen) -> Markup {
    html! {
        nav class="rail" aria-label="Main" {
            a class="brand" href="/console" { (icon::mark()) "Millrace" }
            @for group in GROUPS {
                ul { @for screen in group { @if frame.admin || *screen != Users { li { (entry(frame, here, *screen)) } } } }
            }
        }
    }
}

fn entry(frame: &Frame, here: Screen, screen: Screen) -> Markup {
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

fn head(frame: &Frame) -> Markup {
    html! {
        header class="head" {
            a class="brand" href="/console" { (icon::mark()) span class="hidden" { "Overview" } }
            form class="search" method="get" action="/console/search" role="search" {
                label class="hidden" for="search" { "Search everything" }
                (icon(Icon::Search))
                input id="search" name="q" type="search" value=(frame.search) placeholder="Order, customer, SKU, tracking number" autocomplete="off";
                kbd aria-hidden="true" { "/" }
            }
            (live(frame))
            span class="environment" { (frame.environment) }
            a class="user" href="/console/me" title=(frame.user) {
                span class="avatar" aria-hidden="true" { (initials(&frame.user)) } span class="name" { (frame.user) }
            }
        }
    }
}

fn live(frame: &Frame) -> Markup {
    let (class, words, verb) = match frame.live {
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

fn bottom_bar(frame: &Frame, here: Screen) -> Markup {
    html! {
        nav class="bottom-bar" aria-label="Main, short" {
            @for screen in [Overview, Inbox, Orders] { (entry(frame, here, screen)) }
            a href="/console/search" { (icon(Icon::Search)) span { "Search" } }
            details {
                summary { (icon(Icon::Dots)) span { "More" } }
                ul { @for screen in GROUPS[1..].iter().copied().flatten().filter(|screen| **screen != Orders) {
                    @if frame.admin || *screen != Users { li { (entry(frame, here, *screen)) } }
                } }
            }
        }
    }
}

const KEYS: &[(&str, &[(&str, &str)])] = &[
    (
        "Anywhere",
        &[
            ("/", "Search or filter"),
            ("Ctrl K", "Open the palette"),
            ("?", "Show these keys"),
            (".", "Actions of this page"),
            ("p", "Pause live updates"),
            ("t", "Light, dark or as the system"),
        ],
    ),
    (
        "Lists",
        &[
            ("j", "Next row"),
            ("k", "Row before"),
            ("Enter", "Open the row"),
            ("x", "Select the row"),
            ("[", "Newer page"),
            ("]", "Older page"),
        ],
    ),
    (
        "Go to",
        &[
            ("g o", "Orders"),
            ("g i", "Inbox"),
            ("g j", "Jobs"),
            ("g f", "Failures"),
            ("g q", "Queues"),
            ("g w", "Workers"),
            ("g s", "Stock"),
            ("g p", "Products"),
            ("g c", "Customers"),
            ("g a", "Activity"),
        ],
    ),
];
