//! The shop's frame: search, categories, cart, account, and what it is: a demonstration.

use maud::{Markup, html};

use super::{document, zone};
use crate::reader::Reader;
use crate::ui::banner::{self, Flash};
use crate::ui::icon::{self, Icon, icon};

#[derive(Debug, Clone)]
pub struct ShopCategory {
    pub name: String,
    pub href: String,
    pub products: i64,
}

/// What every shop page shows around its content.
#[derive(Debug, Clone)]
pub struct ShopFrame {
    pub reader: Reader,
    /// The person who is signed in.
    pub user: Option<String>,
    /// They may open the console too.
    pub staff: bool,
    pub in_cart: i64,
    pub categories: Vec<ShopCategory>,
    /// The category of this page.
    pub here: Option<String>,
    pub search: String,
    pub flash: Option<Flash>,
}

const SCRIPTS: &[&str] = &["time.js", "form.js", "dialog.js", "keys.js"];

pub fn page(frame: &ShopFrame, title: &str, content: Markup) -> Markup {
    let body = html! {
        (head(frame))
        main id="main" class="main" tabindex="-1" {
            @if let Some(flash) = &frame.flash { (banner::flash(flash)) }
            (content)
        }
        (foot(frame))
    };
    document(&frame.reader, "shop", &format!("{title} · Millrace"), SCRIPTS, body)
}

fn head(frame: &ShopFrame) -> Markup {
    html! {
        header class="shop-head" {
            div class="line" {
                a class="brand" href="/" { (icon::mark()) "Millrace" }
                form class="search" method="get" action="/search" role="search" {
                    label class="hidden" for="search" { "Search the shop" }
                    (icon(Icon::Search))
                    input id="search" name="q" type="search" value=(frame.search) placeholder="Search coffee, pans, linen";
                }
                nav class="account" aria-label="Your account" {
                    @if let Some(user) = &frame.user {
                        a href="/orders" { (icon(Icon::Orders)) span { "Orders" } }
                        a href="/account" title=(user) { (icon(Icon::Person)) span { (user) } }
                    } @else {
                        a href="/signin" { (icon(Icon::Person)) span { "Sign in" } }
                    }
                    a href="/cart" { (icon(Icon::Cart)) span { "Cart" } @if frame.in_cart > 0 { span class="count" { (frame.in_cart) } } }
                }
            }
            nav class="categories" aria-label="Categories" {
                ul {
                    @for category in &frame.categories {
                        li { a href=(category.href) aria-current=[(frame.here.as_ref() == Some(&category.name)).then_some("page")] { (category.name) } }
                    }
                }
            }
        }
    }
}

fn foot(frame: &ShopFrame) -> Markup {
    html! {
        footer class="shop-foot" {
            p { strong { "A demonstration: no money moves." } " Order what you like; the card, the carrier and the parcel are simulated." }
            p { (zone(&frame.reader)) @if frame.staff { " · " a href="/console" { "Open the console" } } }
        }
    }
}
