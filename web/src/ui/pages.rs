//! Keyset pages: newer and older, never a page number.

use maud::{Markup, html};

use super::icon::{Icon, icon};

/// The steps of a list that has no newest row: each step has its words and its address.
pub fn steps(shown: &str, before: (&str, Option<&str>), after: (&str, Option<&str>)) -> Markup {
    html! {
        @if before.1.is_some() || after.1.is_some() {
            nav class="pages" aria-label="Pages" {
                p { (shown) }
                (step(before.1, "prev", html! { (icon(Icon::Left)) (before.0) }))
                (step(after.1, "next", html! { (after.0) (icon(Icon::Right)) }))
            }
        }
    }
}

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
