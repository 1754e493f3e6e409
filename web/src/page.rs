//! The layouts: the console with its rail, the shop with its head, and a plain page for signing in and for errors.

use maud::{DOCTYPE, Markup, html};
use shared::principal::Permission;

use crate::assets;
use crate::rule::Site;
use crate::ui::icon::{self, Icon};
use crate::ui::notice;
use crate::visit::{Theme, Visit};

/// What stands above a page's content.
pub struct Shell<'a> {
    pub visit: &'a Visit,
    pub title: &'a str,
    /// Where the page learns that something has changed; `None` for pages that do not change by themselves.
    pub live: Option<String>,
    /// Sentences about the whole system that everybody should see.
    pub banners: Markup,
}

/// A page of the console.
pub fn console(shell: &Shell<'_>, content: &Markup) -> Markup {
    let visit = shell.visit;
    let name = visit.person().map_or("", |person| person.name.as_str());
    document(
        shell.title,
        visit.theme,
        "console",
        html! {
            a.skip href="#main" { "Skip to the content" }
            header.top {
                a.brand href="/console" { (icon::LOGO) span { "Millrace" } }
                form.find action="/console/search" role="search" {
                    label.hidden for="find" { "Search for an order, a customer, a product or a job" }
                    (icon::svg(Icon::Search))
                    input #find type="search" name="q" placeholder="Search" autocomplete="off" maxlength="200" data-key="/";
                    kbd { "/" }
                }
                @if let Some(live) = &shell.live { (live_light(live)) }
                details.menu {
                    summary { (icon::svg(Icon::Person)) span.wide { (name) } }
                    div {
                        a href="/console/me" { "Your account" }
                        @if visit.sites.shop { a href="/" { "Open the shop" } }
                        form method="post" action="/console/signout" { button { "Sign out" } }
                    }
                }
            }
            (rail(visit))
            (bar(visit))
            main #main tabindex="-1" {
                (shell.banners)
                @if let Some(done) = &visit.done { (notice::done(done)) }
                (content)
                footer.foot { "Times in " (visit.zone.name()) "." }
            }
        },
    )
}

/// All screens, beside the content of a wide page.
fn rail(visit: &Visit) -> Markup {
    html! {
        nav.rail aria-label="Console" {
            @for group in RAIL { ul { @for entry in *group { (link_to(visit, entry)) } } }
        }
    }
}

/// On a phone: the screens that are opened most often, below the content, and the others one press away.
fn bar(visit: &Visit) -> Markup {
    let (first, others): (Vec<&Entry>, Vec<&Entry>) =
        RAIL.iter().copied().flatten().partition(|entry| ON_PHONES.contains(&entry.path));
    html! {
        nav.bar aria-label="Console" {
            ul { @for entry in first { (link_to(visit, entry)) } }
            details.more {
                summary { (icon::svg(Icon::More)) span { "More" } }
                ul { @for entry in others { (link_to(visit, entry)) } }
            }
        }
    }
}

fn link_to(visit: &Visit, entry: &Entry) -> Markup {
    html! {
        @if entry.needs.is_none_or(|needed| visit.may(needed)) {
            li { a href=(entry.path) aria-current=[is_current(visit, entry.path).then_some("page")] {
                (icon::svg(entry.icon)) span { (entry.name) }
            } }
        }
    }
}

/// A page of the shop.
pub fn shop(shell: &Shell<'_>, cart: usize, content: &Markup) -> Markup {
    let visit = shell.visit;
    document(
        shell.title,
        visit.theme,
        "shop",
        html! {
            a.skip href="#main" { "Skip to the content" }
            header.top {
                a.brand href="/" { (icon::LOGO) span { "Millrace" } }
                form.find action="/search" role="search" {
                    label.hidden for="find" { "Search for a product" }
                    (icon::svg(Icon::Search))
                    input #find type="search" name="q" placeholder="Search the shop" maxlength="100";
                }
                nav aria-label="Your account" {
                    @if visit.person().is_some() {
                        a href="/orders" { "Orders" }
                        a href="/account" { "Account" }
                    } @else {
                        a href="/signin" { "Sign in" }
                    }
                    a.cart href="/cart" {
                        (icon::svg(Icon::Cart)) span { "Cart" }
                        @if cart > 0 { span.count { (cart) span.hidden { " units" } } }
                    }
                }
            }
            main #main tabindex="-1" {
                @if let Some(done) = &visit.done { (notice::done(done)) }
                (content)
            }
            footer.foot {
                p { "A demonstration: no money moves. Times in " (visit.zone.name()) "." }
                p { @if visit.sites.console { a href="/console" { "For staff" } " · " } a href="/docs/" { "For programs" } }
            }
            @if let Some(live) = &shell.live { span hidden data-live=(live) {} }
        },
    )
}

/// A page with nothing but its content.
pub fn plain(site: Site, title: &str, content: Markup) -> Markup {
    document(
        title,
        Theme::System,
        "plain",
        html! {
            main #main {
                a.brand href=(site.home()) { (icon::LOGO) span { "Millrace" @if site == Site::Console { " console" } } }
                h1 { (title) }
                (content)
            }
        },
    )
}

fn document(title: &str, theme: Theme, class: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=(theme.name()) {
            head {
                meta charset="utf-8";
                title { (title) " · Millrace" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="preload" href=(assets::url("inter.woff2")) as="font" type="font/woff2" crossorigin;
                link rel="stylesheet" href=(assets::url("millrace.css"));
                link rel="icon" href=(assets::url("icon.svg"));
                script type="module" src=(assets::url("main.js")) {}
            }
            body class=(class) data-now=(chrono::Utc::now().to_rfc3339()) { (body) }
        }
    }
}

/// Shows whether the page is up to date, and lets people stop the updates.
fn live_light(stream: &str) -> Markup {
    html! {
        button.live type="button" data-live=(stream) aria-pressed="false" title="Pause live updates (p)" {
            span.dot {} span.wide data-live-text { "Live" }
        }
    }
}

struct Entry {
    path: &'static str,
    name: &'static str,
    icon: Icon,
    needs: Option<Permission>,
}

const fn entry(path: &'static str, name: &'static str, icon: Icon) -> Entry {
    Entry { path, name, icon, needs: None }
}

const fn for_admins(path: &'static str, name: &'static str, icon: Icon) -> Entry {
    Entry { path, name, icon, needs: Some(Permission::UsersWrite) }
}

const RAIL: &[&[Entry]] = &[
    &[entry("/console", "Overview", Icon::Overview), entry("/console/inbox", "Inbox", Icon::Inbox)],
    &[entry("/console/orders", "Orders", Icon::Orders), entry("/console/customers", "Customers", Icon::Person)],
    &[entry("/console/products", "Products", Icon::Tag), entry("/console/stock", "Stock", Icon::Boxes)],
    &[
        entry("/console/failures", "Failures", Icon::Alert),
        entry("/console/jobs", "Jobs", Icon::Jobs),
        entry("/console/queues", "Queues", Icon::Queues),
        entry("/console/workers", "Workers", Icon::Workers),
        entry("/console/clock", "Clock", Icon::Clock),
        Entry {
            path: "/console/webhooks",
            name: "Webhooks",
            icon: Icon::Send,
            needs: Some(Permission::WebhooksManage),
        },
    ],
    &[entry("/console/audit", "Audit", Icon::Check), entry("/console/activity", "Activity", Icon::Activity)],
    &[
        for_admins("/console/users", "Users", Icon::Users),
        for_admins("/console/service-accounts", "Service accounts", Icon::Key),
    ],
];

const ON_PHONES: [&str; 4] = ["/console", "/console/inbox", "/console/orders", "/console/stock"];

fn is_current(visit: &Visit, path: &str) -> bool {
    // Reached from these screens, and without an entry of their own.
    let here = match visit.path() {
        here if here.starts_with("/console/warehouses") => "/console/stock/",
        here if here.starts_with("/console/categories") => "/console/products/",
        here => here,
    };
    here == path || (path != "/console" && here.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
}
