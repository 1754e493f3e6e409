//! How the parts of a page stand: titles, sections under a line, columns. No boxes in boxes.

use maud::{Markup, html};

use super::icon::{Icon, icon};

/// The head of a page: one `h1`, what belongs to it, and its actions.
pub fn title(name: &str, beside: Markup, actions: Markup) -> Markup {
    html! {
        div class="page-title" {
            h1 { (name) }
            (beside)
            div class="actions" { (actions) }
        }
    }
}

/// A heading, a quiet remark beside it, a line, and what it is about.
pub fn section(id: &str, heading: &str, beside: Markup, content: Markup) -> Markup {
    html! {
        section class="section" aria-labelledby=(id) {
            div class="section-head" { h2 id=(id) { (heading) } div class="beside" { (beside) } }
            (content)
        }
    }
}

/// The page and a narrower column at its right.
pub fn with_rail(main: Markup, rail: Markup) -> Markup {
    html! {
        div class="with-rail" {
            div class="stack" { (main) }
            aside class="stack" aria-label="About this order" { (rail) }
        }
    }
}

/// One below the other.
pub fn stack(parts: &[Markup]) -> Markup {
    html! { div class="stack" { @for part in parts { (part) } } }
}

/// Two columns that become one on narrow screens.
pub fn halves(parts: &[Markup]) -> Markup {
    html! { div class="halves" { @for part in parts { (part) } } }
}

/// Columns with a line between them.
pub fn verdicts(parts: &[Markup]) -> Markup {
    html! { div class="verdicts" { @for part in parts { div { (part) } } } }
}

/// A short text in paragraphs, as it was typed.
pub fn prose(text: &str) -> Markup {
    html! { div class="prose" { @for paragraph in text.split("\n\n") { p { (paragraph) } } } }
}

/// Quiet text.
pub fn quiet(content: Markup) -> Markup {
    html! { span class="quiet-text" { (content) } }
}

/// An id, a SKU, a tracking number.
pub fn code(text: &str) -> Markup {
    html! { code { (text) } }
}

pub fn link(href: &str, words: &str) -> Markup {
    html! { a href=(href) { (words) } }
}

/// A link that leads on from a section.
pub fn more(href: &str, words: &str) -> Markup {
    html! { a class="more" href=(href) { (words) (icon(Icon::Chevron)) } }
}

/// Shut until it is opened.
pub fn details(summary: Markup, content: Markup) -> Markup {
    html! { details class="details" { summary { (icon(Icon::Chevron)) (summary) } div { (content) } } }
}

/// Below the title: the object in one line.
pub fn subtitle(content: Markup) -> Markup {
    html! { p class="subtitle" { (content) } }
}

/// A sentence in a section.
pub fn remark(sentence: &str) -> Markup {
    html! { p class="remark" { (sentence) } }
}

/// Lines of an address.
pub fn lines(lines: &[String]) -> Markup {
    html! { address class="lines" { @for line in lines { span { (line) } } } }
}

pub fn strong_line(content: Markup) -> Markup {
    html! { p class="strong-line" { (content) } }
}

/// Like `details`, and open where that is what the reader came for.
pub fn details_open(open: bool, summary: Markup, content: Markup) -> Markup {
    html! { details class="details" open[open] { summary { (icon(Icon::Chevron)) (summary) } div { (content) } } }
}

pub fn strong(text: &str) -> Markup {
    html! { strong { (text) } }
}

/// An order number that leads to the order.
pub fn number_link(href: &str, number: &str) -> Markup {
    html! { a class="number-link" href=(href) { (number) } }
}

/// A text that is cut where its column ends; all of it is in the title.
pub fn clip(text: &str) -> Markup {
    html! { span class="clip" title=(text) { (text) } }
}

/// The sentence that matters on a page for customers; read out when it changes.
pub fn lead(sentence: &str) -> Markup {
    html! { p class="lead" role="status" { (sentence) } }
}

/// Left out on a phone, where there is no room for it.
pub fn wide_only(content: Markup) -> Markup {
    html! { span class="wide-only" { (content) } }
}

/// A column for a short form.
pub fn narrow(heading: &str, content: Markup) -> Markup {
    html! { div class="narrow" { h1 { (heading) } (content) } }
}
