//! The parts that pages are made of, a function each. Only here and in `page` do class names stand.

pub mod account;
pub mod action;
pub mod barcode;
pub mod chart;
pub mod field;
pub mod icon;
pub mod list;
pub mod money;
pub mod notice;
pub mod picture;
pub mod status;
pub mod time;
pub mod words;

use maud::{Markup, html};
use shared::values::Address;

/// The head of a screen: its title, and what can be done with all of it.
pub fn head(title: &str, actions: Markup) -> Markup {
    html! { div.head { h1 { (title) } div.actions { (actions) } } }
}

/// A head with a line of context below its title.
pub fn head_with(title: &str, below: Markup, actions: Markup) -> Markup {
    html! { div.head { div { h1 { (title) } div.below { (below) } } div.actions { (actions) } } }
}

/// A part of a screen, with a heading.
pub fn block(title: &str, content: Markup) -> Markup {
    html! { section.block { h2 { (title) } (content) } }
}

/// A part that is replaced when something has changed. `id` must be the same each time.
pub fn live(id: &str, content: Markup) -> Markup {
    html! { div id=(id) data-region { (content) } }
}

/// Names and values.
pub fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! { dl.facts { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } } }
}

/// An id, short, that can be copied whole.
pub fn id(id: impl std::fmt::Display) -> Markup {
    let id = id.to_string();
    let short: String = if id.len() > 13 { format!("…{}", &id[id.len() - 8..]) } else { id.clone() };
    html! { span.id { code title=(id) { (short) } (copy(&id)) } }
}

/// A button that copies a text.
pub fn copy(text: &str) -> Markup {
    html! { button.copy type="button" data-copy=(text) title="Copy" { (icon::svg(icon::Icon::Copy)) span.hidden { "Copy " (text) } } }
}

/// Shops decide which fields an address has; each is a line.
pub fn address(address: &Address) -> Markup {
    html! { address { @for line in address.lines() { (line) br; } } }
}

/// A list has nothing to show.
pub fn empty(title: &str, content: Markup) -> Markup {
    html! { div.empty { p.title { (title) } (content) } }
}

/// `1 order`, `2 orders`, `12,345 orders`.
pub fn plural(count: i64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// `12,345`.
pub fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut written = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    if number < 0 { format!("−{written}") } else { written }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (-1_234_567, "−1,234,567")] {
            assert_eq!(number(value), text);
        }
        assert_eq!(plural(1, "order", "orders"), "1 order");
        assert_eq!(plural(2_000, "order", "orders"), "2,000 orders");
    }
}
