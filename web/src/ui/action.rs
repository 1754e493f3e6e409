//! Buttons that change something. Each is a form with a key of its own, so it is one effect however often it is sent.

use maud::{Markup, html};
use uuid::Uuid;

use crate::once::KEY;

/// How much a button stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emphasis {
    Primary,
    Plain,
    /// It takes something away from somebody.
    Danger,
}

impl Emphasis {
    const fn class(self) -> &'static str {
        match self {
            Self::Primary => "button primary",
            Self::Plain => "button",
            Self::Danger => "button danger",
        }
    }
}

/// The hidden key of a form.
pub fn key() -> Markup {
    html! { input type="hidden" name=(KEY) value=(Uuid::now_v7()); }
}

/// A form with further fields, and a button that sends it.
pub fn form(path: &str, verb: &str, weight: Emphasis, fields: Markup) -> Markup {
    html! {
        form.action method="post" action=(path) {
            (key())
            (fields)
            button class=(weight.class()) { (verb) }
        }
    }
}

/// A button alone.
pub fn button(path: &str, verb: &str, weight: Emphasis) -> Markup {
    form(path, verb, weight, html! {})
}

/// A button with hidden values.
pub fn button_with(path: &str, verb: &str, weight: Emphasis, values: &[(&str, &str)]) -> Markup {
    form(path, verb, weight, hidden(values))
}

pub fn hidden(values: &[(&str, &str)]) -> Markup {
    html! { @for (name, value) in values { input type="hidden" name=(name) value=(value); } }
}

/// An action that asks something first: it opens in place, also without scripts.
pub fn ask(verb: &str, weight: Emphasis, content: Markup) -> Markup {
    html! {
        details.ask {
            summary class=(weight.class()) { (verb) "…" }
            div.sheet { (content) }
        }
    }
}

/// A link that looks like a button.
pub fn link(path: &str, verb: &str, weight: Emphasis) -> Markup {
    html! { a class=(weight.class()) href=(path) { (verb) } }
}
