//! Buttons and links that act. Each has a verb.

use maud::{Markup, html};
use uuid::Uuid;

use super::icon::{Icon, icon};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The one thing to do here.
    Main,
    Plain,
    /// Without a border, in toolbars.
    Light,
    /// It takes something away.
    Danger,
}

impl Weight {
    fn name(self) -> &'static str {
        match self {
            Self::Main => "button primary",
            Self::Plain => "button",
            Self::Light => "button light",
            Self::Danger => "button danger",
        }
    }
}

/// A button of the form it stands in.
pub fn submit(weight: Weight, words: &str) -> Markup {
    html! { button type="submit" class=(weight.name()) { (words) } }
}

pub fn submit_with(weight: Weight, sign: Icon, words: &str) -> Markup {
    html! { button type="submit" class=(weight.name()) { (icon(sign)) (words) } }
}

/// A second button of a form, which sends a field of its own.
pub fn submit_as(weight: Weight, name: &str, value: &str, words: &str) -> Markup {
    html! { button type="submit" class=(weight.name()) name=(name) value=(value) { (words) } }
}

/// A form of one button. `key` makes it one effect however often it is sent.
pub fn post(weight: Weight, action: &str, key: Uuid, words: &str) -> Markup {
    html! {
        form class="inline" method="post" action=(action) {
            input type="hidden" name="key" value=(key);
            (submit(weight, words))
        }
    }
}

pub fn link(weight: Weight, href: &str, words: &str) -> Markup {
    html! { a class=(weight.name()) href=(href) { (words) } }
}

pub fn link_with(weight: Weight, href: &str, sign: Icon, words: &str) -> Markup {
    html! { a class=(weight.name()) href=(href) { (icon(sign)) (words) } }
}

/// Leads to a page that asks before it acts; `dialog.js` shows that page in a dialog.
pub fn ask(weight: Weight, href: &str, words: &str) -> Markup {
    html! { a class=(weight.name()) href=(href) data-dialog { (words) } }
}

/// An icon alone, with its words for screen readers and as a title.
pub fn icon_link(href: Option<&str>, sign: Icon, words: &str) -> Markup {
    html! {
        @if let Some(href) = href {
            a class="button light square" href=(href) title=(words) { (icon(sign)) span class="hidden" { (words) } }
        } @else {
            span class="button light square off" { (icon(sign)) }
        }
    }
}

/// Buttons side by side.
pub fn row(buttons: &[Markup]) -> Markup {
    html! { div class="buttons" { @for button in buttons { (button) } } }
}

/// A form of one button whose effect does not grow by repetition, so it needs no key.
pub fn form_of(weight: Weight, action: &str, words: &str) -> Markup {
    html! { form class="inline" method="post" action=(action) { (submit(weight, words)) } }
}
