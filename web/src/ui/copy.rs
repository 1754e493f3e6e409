//! A text to copy. `copy` in `keys.js` falls back to selecting it where the clipboard is closed.

use maud::{Markup, html};

use super::icon::{Icon, icon};

pub fn copy(what: &str, text: &str) -> Markup {
    html! {
        span class="copy" {
            code { (text) }
            (button(what, text))
        }
    }
}

/// The button alone, beside a text that is shown already.
pub fn button(what: &str, text: &str) -> Markup {
    html! {
        button type="button" class="button light square" data-copy=(text) title={ "Copy " (what) } {
            (icon(Icon::Copy)) span class="hidden" { "Copy " (what) " " (text) }
        }
    }
}

/// For a text that is read and not an id, such as an e-mail address.
pub fn plain(what: &str, text: &str) -> Markup {
    html! { span class="copy" { span class="text" { (text) } (button(what, text)) } }
}
