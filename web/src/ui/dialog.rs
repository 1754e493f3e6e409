//! Questions before something is done: a page of its own, which `dialog.js` shows over the page that links to it.

use maud::{Markup, html};
use uuid::Uuid;

use super::button::{self, Weight};

pub struct Ask<'a> {
    pub title: &'a str,
    /// What will happen, with numbers and money.
    pub says: Markup,
    pub fields: Markup,
    pub action: &'a str,
    pub key: Uuid,
    pub weight: Weight,
    pub verb: &'a str,
    /// Where *Keep it as it is* leads without JavaScript.
    pub back: &'a str,
}

/// `dialog.js` takes the element with `data-dialog-body` out of the page.
pub fn ask(ask: &Ask<'_>) -> Markup {
    html! {
        form class="ask" method="post" action=(ask.action) data-dialog-body aria-labelledby="ask-title" {
            h1 id="ask-title" { (ask.title) }
            div class="prose" { (ask.says) }
            (ask.fields)
            input type="hidden" name="key" value=(ask.key);
            div class="buttons" {
                (button::submit(ask.weight, ask.verb))
                a class="button light" href=(ask.back) data-dialog-close { "Keep it as it is" }
            }
        }
    }
}

/// A dialog that is in the page already, such as the list of keys.
pub fn dialog(id: &str, title: &str, content: Markup) -> Markup {
    html! {
        dialog id=(id) class="dialog" aria-labelledby={ (id) "-title" } {
            div class="section-head" {
                h2 id={ (id) "-title" } { (title) }
                form method="dialog" { button type="submit" class="button light" { "Close" } }
            }
            (content)
        }
    }
}

/// Keys and what they do.
pub fn keys(groups: &[(&str, Vec<(&str, &str)>)]) -> Markup {
    html! {
        div class="keys" {
            @for (heading, keys) in groups {
                div {
                    h3 { (heading) }
                    dl { @for (key, does) in keys { div { dt { @for part in key.split(' ') { kbd { (part) } } } dd { (does) } } } }
                }
            }
        }
    }
}
