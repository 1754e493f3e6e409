//! Keyset pages: newer and older, never a page number.

use maud::{Markup, html};

use super::icon::{Icon, icon};

/// `shown` says which rows these are: `50 of more than 10,000 orders`.
pub fn pages(shown: &str, newer: Option<&str>, older: Option<&str>) -> Markup {
    html! {
        nav class="pages" aria-label="Pages" {
            p { (shown) }
            (step(newer, "prev", html! { (icon(Icon::Left)) "Newer" }))
            (step(older, "next", html! { "Older" (icon(Icon::Right)) }))
        }
    }
}

fn step(href: Option<&str>, rel: &str, words: Markup) -> Markup {
    html! {
        @if let Some(href) = href {
            a class="button" href=(href) rel=(rel) { (words) }
        } @else {
            span class="button off" aria-hidden="true" { (words) }
        }
    }
}
