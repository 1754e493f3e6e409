//! Products for customers: the tile of the grid, the big picture, whether it can be had.

use maud::{Markup, html};
use shared::values::Money;

use super::icon::Icon;
use super::{Tone, money, picture, status, words};

/// Few enough to say how many.
const FEW: i64 = 5;

pub struct Tile<'a> {
    pub sku: &'a str,
    pub name: &'a str,
    pub category: &'a str,
    pub price: Money,
    pub available: i64,
}

/// Tiles right below the page's title.
pub fn grid(tiles: &[Tile<'_>]) -> Markup {
    html! { ul class="goods" { @for one in tiles { li { (tile(one, html! { h2 { (link(one)) } })) } } } }
}

/// Tiles in a section that has a heading of its own.
pub fn row(tiles: &[Tile<'_>]) -> Markup {
    html! { ul class="goods" { @for one in tiles { li { (tile(one, html! { h3 { (link(one)) } })) } } } }
}

fn link(tile: &Tile<'_>) -> Markup {
    html! { a href={ "/p/" (words::segment(tile.sku)) } { (tile.name) } }
}

fn tile(tile: &Tile<'_>, heading: Markup) -> Markup {
    html! {
        article class={ "tile" @if tile.available <= 0 { " sold-out" } } {
            (picture::picture(tile.sku, tile.category))
            (heading)
            p { (money::money(tile.price)) @if tile.available <= FEW { (availability(tile.available)) } }
        }
    }
}

pub fn availability(available: i64) -> Markup {
    match available {
        ..=0 => status::status(Tone::Quiet, Icon::Cross, "Sold out"),
        1..=FEW => status::status(Tone::Warn, Icon::Clock, &format!("Only {available} left")),
        _ => status::status(Tone::Good, Icon::Check, "In stock"),
    }
}

/// The product's page: picture left, what it is and how to have it right.
pub fn product(sku: &str, category: &str, buy: Markup) -> Markup {
    html! { div class="product" { div class="stage" { (picture::picture(sku, category)) } div class="buy" { (buy) } } }
}

pub fn price(amount: Money) -> Markup {
    html! { p class="price" { (money::with_code(amount)) } }
}

/// Where a page belongs: links from the outermost to the innermost.
pub fn crumbs(crumbs: &[(&str, &str)]) -> Markup {
    html! { nav class="crumbs" aria-label="Where you are" { ol { @for (href, words) in crumbs { li { a href=(href) { (words) } } } } } }
}

/// The words above the shop's grid.
pub fn welcome(heading: &str, text: &str) -> Markup {
    html! { header class="welcome" { h1 { (heading) } p { (text) } } }
}

/// Big and quiet: the name of a product.
pub fn name(name: &str) -> Markup {
    html! { h1 class="name" { (name) } }
}

/// A quiet remark beside a heading.
pub fn note(text: &str) -> Markup {
    html! { span class="quiet-text" { (text) } }
}
