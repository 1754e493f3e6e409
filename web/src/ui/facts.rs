//! Names and values.

use maud::{Markup, html};

/// Side by side: name left, value right.
pub fn facts(pairs: &[(&str, Markup)]) -> Markup {
    html! {
        dl class="facts" {
            @for (name, value) in pairs { div { dt { (name) } dd { (value) } } }
        }
    }
}

/// One above the other, for a narrow column.
pub fn tall(pairs: &[(&str, Markup)]) -> Markup {
    html! {
        dl class="facts tall" {
            @for (name, value) in pairs { div { dt { (name) } dd { (value) } } }
        }
    }
}
