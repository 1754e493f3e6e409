//! Counting the stock: many rows are pasted, looked at, and then applied, all or none.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use shared::error::{Error, Result};
use shared::invalid::{FieldError, Invalid};
use shared::inventory::bulk::{self, CountRow, Counted, Counts, MAX_ROWS};
use shared::principal::Permission;
use shared::values::Units;
use shared::values::whole_number::WholeNumber;

use super::shell;
use crate::WebState;
use crate::once::{OnceForm, and_say};
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action;
use crate::ui::list::{Row, column, numbers, table};
use crate::ui::{self, notice};
use crate::visit::Visit;

const HERE: &str = "/console/stock/count";
/// Room for so many rows with long SKUs.
const FORM_LIMIT: usize = 2 * 1024 * 1024;
/// Differences, and errors, that the page shows.
const SHOWN: usize = 500;

pub fn routes() -> PageRoutes {
    let change = changes(Permission::InventoryWrite).changes_products();
    PageRoutes::default().page(HERE, empty, reads(Permission::InventoryWrite)).form(
        HERE,
        count,
        change.bulk(FORM_LIMIT),
    )
}

async fn empty(State(web): State<WebState>, visit: Visit) -> PageResult {
    Ok(page(&web, &visit, "", html! {}).await?)
}

/// First it only looks: the transaction is rolled back.
async fn count(State(web): State<WebState>, mut once: OnceForm) -> PageResult<Response> {
    let typed = once.fields.text("rows").to_owned();
    let done = async { bulk::count(&mut once.tx, once.visit.principal()?, parse(&typed)?).await };
    match done.await {
        Ok(_) if once.fields.is_on("apply") => once.leave(&and_say("/console/stock", "counted")).await,
        Ok(counted) => {
            drop(once.tx);
            Ok(page(&web, &once.visit, &typed, preview(&counted, &typed)).await?.into_response())
        }
        Err(Error::InvalidFields(complaints)) => {
            drop(once.tx);
            let page = page(&web, &once.visit, &typed, complaints_table(&complaints)).await?;
            Ok(refused_in_place(Error::InvalidFields(complaints), page))
        }
        Err(error) => {
            drop(once.tx);
            let page = page(&web, &once.visit, &typed, notice::bad(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}

/// Rows of SKU, warehouse and quantity, as CSV or as copied from a spreadsheet. A first line with names is passed over.
fn parse(typed: &str) -> Result<Counts> {
    let delimiter = if typed.lines().next().is_some_and(|line| line.contains('\t')) { b'\t' } else { b',' };
    let mut reader = csv::ReaderBuilder::new();
    let reader = reader.has_headers(false).flexible(true).trim(csv::Trim::All).delimiter(delimiter);
    let mut counts = Counts::default();
    for record in reader.from_reader(typed.as_bytes()).into_records() {
        let record = record.map_err(|error| Error::field("rows", "invalid_csv", error.to_string()))?;
        let is_header = counts.asked == 0 && record.get(0).is_some_and(|name| name.eq_ignore_ascii_case("sku"));
        if is_header || record.iter().all(str::is_empty) {
            continue;
        }
        let index = counts.asked;
        counts.asked += 1;
        if counts.asked > MAX_ROWS {
            return Err(Error::field("rows", "invalid_items", format!("there are from 1 to {MAX_ROWS} rows")));
        }
        match row(&record) {
            Ok(row) => counts.rows.push((index, row)),
            Err(invalid) => counts.complaints.push(invalid.at(format!("items[{index}]"))),
        }
    }
    Ok(counts)
}

fn row(record: &csv::StringRecord) -> Result<CountRow, Invalid> {
    let [Some(sku), Some(warehouse), Some(quantity), None] = [0, 1, 2, 3].map(|at| record.get(at)) else {
        return Err(Invalid::new("invalid_csv", "a row has a SKU, a warehouse and a quantity"));
    };
    let quantity: i64 =
        quantity.parse().map_err(|_| Invalid::new("invalid_quantity", format!("\"{quantity}\" is not a number")))?;
    Ok(CountRow {
        sku: Some(sku.to_owned().try_into()?),
        product_id: None,
        warehouse: warehouse.to_owned().try_into()?,
        quantity: Units::try_from(WholeNumber(quantity))?,
        at: None,
    })
}

async fn page(web: &WebState, visit: &Visit, typed: &str, result: Markup) -> Result<Markup> {
    let content = html! {
        (ui::head_with("Count the stock", html! {
            "Paste what was counted: a SKU, a warehouse and a quantity in each line. All lines are applied, or none."
        }, html! {}))
        (result)
        form.stack method="post" action=(HERE) {
            div.field {
                label for="field-rows" { "Counted" }
                textarea id="field-rows" name="rows" rows="12" required spellcheck="false" placeholder="MUG-STONE-350,EAST,40" { (typed) }
            }
            button.button { "Look at it first" }
        }
    };
    shell::still_page(web, visit, "Count the stock", content).await
}

/// What would change, and the button that does it.
fn preview(counted: &Counted, typed: &str) -> Markup {
    let columns = [column("SKU"), column("Warehouse"), numbers("Was"), numbers("Counted"), numbers("Difference")];
    let rows: Vec<Row> = counted
        .differences
        .iter()
        .take(SHOWN)
        .map(|it| Row {
            link: None,
            cells: vec![
                html! { (it.sku) },
                html! { (it.warehouse) },
                html! { (ui::number(it.was.into())) },
                html! { (ui::number(it.counted.into())) },
                html! { @if it.counted > it.was { "+" } (ui::number((it.counted - it.was).into())) },
            ],
        })
        .collect();
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    html! {
        section.next aria-label="What would change" {
            p.lead {
                "Of " (ui::plural(count(counted.counted), "row", "rows")) ", " (ui::plural(count(counted.changed), "differs", "differ"))
                @if counted.created > 0 { ", and " (ui::plural(count(counted.created), "is new in its warehouse", "are new in their warehouses")) }
                "."
            }
            form.action method="post" action=(HERE) {
                (action::key())
                (action::hidden(&[("apply", "on"), ("rows", typed)]))
                button.button.primary { "Apply all " (ui::plural(count(counted.counted), "row", "rows")) }
            }
        }
        @if !rows.is_empty() { (table("What would change", &columns, &rows)) }
        @if counted.differences.len() > SHOWN { p.quiet { "And " (counted.differences.len() - SHOWN) " more." } }
    }
}

/// Which rows are wrong, and why.
fn complaints_table(complaints: &[FieldError]) -> Markup {
    let rows: Vec<Row> = complaints
        .iter()
        .take(SHOWN)
        .map(|complaint| Row {
            link: None,
            cells: vec![html! { (place(&complaint.field)) }, html! { (complaint.message) }],
        })
        .collect();
    html! {
        (notice::bad("Nothing was changed. Correct these rows and look again."))
        (table("Rows that are wrong", &[column("Row"), column("What is wrong")], &rows))
    }
}

/// `items[0].sku` → 1.
fn place(field: &str) -> String {
    let index = field.split(['[', ']']).nth(1).and_then(|index| index.parse::<usize>().ok());
    index.map_or_else(|| "all".to_owned(), |index| (index + 1).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_from_a_spreadsheet_and_from_csv() {
        for typed in ["sku,warehouse,quantity\nmug,EAST,40\n\ncup, WEST ,0", "mug\tEAST\t40\ncup\tWEST\t0"] {
            let counts = parse(typed).unwrap();
            let read: Vec<_> = counts
                .rows
                .iter()
                .map(|(at, row)| (*at, row.sku.as_ref().unwrap().as_str(), row.quantity.get()))
                .collect();
            assert_eq!(read, [(0, "mug", 40), (1, "cup", 0)], "{typed}");
            assert_eq!(counts.complaints, []);
        }
        let counts = parse("mug,EAST\nmug,EAST,many\nmug,EAST,-1\nmug,EAST,1,2").unwrap();
        assert_eq!((counts.asked, counts.rows.len(), counts.complaints.len()), (4, 0, 4));
        assert_eq!(place(&counts.complaints[2].field), "3");
    }
}
