//! Short lists whose rows are divided by lines.

use maud::{Markup, html};

pub fn rows(rows: &[Markup]) -> Markup {
    html! { ul class="rows" { @for row in rows { li { (row) } } } }
}

/// Left what it is, right its value.
pub fn spread(left: Markup, right: Markup) -> Markup {
    html! { div class="spread" { div class="left" { (left) } div class="right" { (right) } } }
}

/// A picture, what it is, its value.
pub fn pictured(picture: Markup, left: Markup, right: Markup) -> Markup {
    html! { div class="spread pictured" { (picture) div class="left" { (left) } div class="right" { (right) } } }
}
