//! Tables: dense rows on a wide screen, two-line rows on a phone.

use maud::{Markup, html};

use super::Tone;

/// Where a column goes in the two-line row of a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellPlace {
    /// First line, left: what the row is.
    Title,
    /// First line, right: its most important value.
    End,
    /// Second line, one after another.
    Meta,
    /// Not shown.
    Wide,
}

#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub head: &'static str,
    pub place: CellPlace,
    /// Numbers are aligned right.
    pub numeric: bool,
}

pub const fn text(head: &'static str, place: CellPlace) -> Column {
    Column { head, place, numeric: false }
}

pub const fn number(head: &'static str, place: CellPlace) -> Column {
    Column { head, place, numeric: true }
}

#[derive(Default)]
pub struct Row {
    pub cells: Vec<Markup>,
    /// The row has a mark of this tone at its left.
    pub tone: Option<Tone>,
    /// Value and label of its checkbox, in a table with a selection.
    pub select: Option<(String, String)>,
}

impl From<Vec<Markup>> for Row {
    fn from(cells: Vec<Markup>) -> Self {
        Self { cells, ..Self::default() }
    }
}

pub struct Table {
    /// Read out before the table; not shown, because a heading stands above it.
    pub caption: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    /// A last row of sums.
    pub foot: Option<Vec<Markup>>,
    /// Whole rows are links (to the link in the first cell) and keys move between them.
    pub list: bool,
    /// The head stays in view while the page scrolls.
    pub sticky: bool,
}

impl Table {
    pub fn new(caption: &str, columns: Vec<Column>, rows: Vec<Row>) -> Self {
        Self { caption: caption.to_owned(), columns, rows, foot: None, list: false, sticky: false }
    }
}

/// The roles repeat what the elements say, because browsers forget it where CSS lays rows out as lines.
pub fn table(table: Table) -> Markup {
    let selectable = table.rows.iter().any(|row| row.select.is_some());
    html! {
        table class={ "table" @if table.list { " list" } @if table.sticky { " sticky" } } role="table" data-rows[table.list] {
            caption { (table.caption) }
            thead role="rowgroup" {
                tr role="row" {
                    @if selectable { th class="pick" role="columnheader" scope="col" { (pick_all()) } }
                    @for column in &table.columns {
                        th class=(classes(column)) role="columnheader" scope="col" { (column.head) }
                    }
                }
            }
            tbody role="rowgroup" { @for row in &table.rows { (body_row(&table.columns, row)) } }
            @if let Some(sums) = &table.foot {
                tfoot role="rowgroup" { (body_row(&table.columns, &Row::from(sums.clone()))) }
            }
        }
    }
}

fn body_row(columns: &[Column], row: &Row) -> Markup {
    html! {
        tr role="row" class=[row.tone.map(Tone::name)] {
            @if let Some((value, label)) = &row.select {
                td class="pick" role="cell" {
                    label class="check" {
                        input type="checkbox" name="pick" value=(value);
                        span class="hidden" { "Select " (label) }
                    }
                }
            }
            @for (column, cell) in columns.iter().zip(&row.cells) {
                td class=(classes(column)) role="cell" { (cell) }
            }
        }
    }
}

fn pick_all() -> Markup {
    html! {
        label class="check" {
            input type="checkbox" data-pick-all;
            span class="hidden" { "Select all rows on this page" }
        }
    }
}

fn classes(column: &Column) -> String {
    let place = match column.place {
        CellPlace::Title => "title",
        CellPlace::End => "end",
        CellPlace::Meta => "meta",
        CellPlace::Wide => "wide",
    };
    if column.numeric { format!("{place} number") } else { place.to_owned() }
}

/// Two lines in one cell: what it is, and a quieter line below.
pub fn two_lines(first: Markup, second: Markup) -> Markup {
    html! { span class="two" { span { (first) } span class="quiet-text" { (second) } } }
}
