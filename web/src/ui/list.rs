//! Lists: tables whose rows can be opened, their filters, and the way to the next page.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use maud::{Markup, html};
use shared::principal::Permission;

use super::action::{self, Emphasis};
use super::field::Field;
use crate::form::Fields;
use crate::visit::Visit;

/// A column: its heading, and whether its cells are numbers.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a> {
    pub name: &'a str,
    pub numeric: bool,
}

pub const fn column(name: &str) -> Column<'_> {
    Column { name, numeric: false }
}

pub const fn numbers(name: &str) -> Column<'_> {
    Column { name, numeric: true }
}

/// A table. The first cell of a row is its heading, and `link` opens the row.
pub struct Row {
    pub link: Option<String>,
    pub cells: Vec<Markup>,
}

pub fn table(caption: &str, columns: &[Column<'_>], rows: &[Row]) -> Markup {
    let ids = ids(caption, rows);
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table.table.list {
                caption.hidden { (caption) }
                thead { tr { @for column in columns { th scope="col" class=[column.numeric.then_some("num")] { (column.name) } } } }
                tbody {
                    @for (row, id) in rows.iter().zip(&ids) {
                        tr id=[id.as_ref()] data-row=[row.link.as_ref().map(|_| "")] {
                            @for (at, (cell, column)) in row.cells.iter().zip(columns).enumerate() {
                                @if at == 0 {
                                    th.title scope="row" {
                                        @if let Some(link) = &row.link { a href=(link) { (cell) } } @else { (cell) }
                                    }
                                } @else {
                                    td class=[column.numeric.then_some("num")] data-name=(column.name) { (cell) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A name for each row, made from its link. An update of the page then knows which row is which: otherwise the focus would
/// stay at its place while another row moves there.
fn ids(caption: &str, rows: &[Row]) -> Vec<Option<String>> {
    let plain = |text: &str| text.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    let mut seen = BTreeSet::new();
    let id = |row: &Row| {
        let id = format!("row-{}{}", plain(caption).to_lowercase(), plain(row.link.as_deref()?));
        seen.insert(id.clone()).then_some(id)
    };
    rows.iter().map(id).collect()
}

/// The way to the next page, and back to the first.
pub fn pager(visit: &Visit, next_cursor: Option<&str>) -> Markup {
    let first = query(visit, &[("cursor", None)]);
    let is_first = !visit.here.contains("cursor=");
    html! {
        @if next_cursor.is_some() || !is_first {
            nav.pager aria-label="Pages" {
                @if !is_first { a.button href=(first) { "First page" } }
                @if let Some(cursor) = next_cursor {
                    a.button rel="next" href=(query(visit, &[("cursor", Some(cursor))])) { "Next page" }
                }
            }
        }
    }
}

/// Tabs: words, the query that they lead to, and whether they are open.
pub fn tabs(label: &str, tabs: &[(String, String, bool)]) -> Markup {
    html! {
        nav.tabs aria-label=(label) {
            @for (words, link, is_open) in tabs { a href=(link) aria-current=[is_open.then_some("true")] { (words) } }
        }
    }
}

/// A form that filters a list. Where some filter is on, it can be cleared, and saved under a name.
pub fn filters(visit: &Visit, asked: &Fields, fields: Markup) -> Markup {
    let (path, active) = (visit.path(), !asked.filter_text().is_empty());
    html! {
        form.filters action=(path) role="search" {
            (fields)
            button.button { "Filter" }
            @if active { a.button.plain href=(path) { "Clear" } }
        }
        @if active && visit.may(Permission::OpsRead) {
            div.after-filters { (action::ask("Save this view", Emphasis::Plain, action::form("/console/views", "Save", Emphasis::Primary, html! {
                (action::hidden(&[("path", &query(visit, &[("cursor", None)]))]))
                (Field::text("name", "Name").within("view").hint("It is kept in your account.").max(100).show())
            }))) }
        }
    }
}

/// The address of this page with other values in its query. `None` takes a value away.
pub fn query(visit: &Visit, changes: &[(&str, Option<&str>)]) -> String {
    let (path, query) = visit.here.split_once('?').unwrap_or((&visit.here, ""));
    let is_changed = |name: &str| name == "done" || changes.iter().any(|(changed, _)| *changed == name);
    let kept = form_urlencoded::parse(query.as_bytes()).filter(|(name, value)| !is_changed(name) && !value.is_empty());
    let mut written = form_urlencoded::Serializer::new(String::new());
    written.extend_pairs(kept);
    written.extend_pairs(changes.iter().filter_map(|(name, value)| Some((name, (*value)?))));
    let written = written.finish();
    if written.is_empty() { path.to_owned() } else { format!("{path}?{written}") }
}

/// A text as a part of a path.
pub fn segment(text: &str) -> String {
    let mut written = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            written.push(char::from(byte));
        } else {
            write!(written, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    written
}
