//! Stock: every row, and one product with its ledger.

use std::collections::HashMap;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use shared::catalog::products;
use shared::error::{Error, Resource, Result};
use shared::identity::users;
use shared::inventory::adjust::{self, Adjust, AdjustReason};
use shared::inventory::held::{self, HeldFilter};
use shared::inventory::ledger::{self, MovementFilter, MovementView, Reason};
use shared::inventory::list::{self as stock, StockFilter};
use shared::inventory::past::{self, StockHistory};
use shared::inventory::transfer::{self, Transfer};
use shared::inventory::{self, ReorderSettings, StockView};
use shared::page::{MAX_LIMIT, Page};
use shared::principal::Permission;
use shared::values::search::Search;
use shared::values::{InventoryId, Sku, UserId, WarehouseId};
use shared::warehouses::WarehouseView;

use super::shell;
use crate::WebState;
use crate::form::Fields;
use crate::once::{OnceForm, and_say};
use crate::path::InPath;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::chart::{Chart, Series};
use crate::ui::field::{self, Field};
use crate::ui::icon::Icon;
use crate::ui::list::{Row, column, filters, numbers, pager, segment, table};
use crate::ui::status::{self, Tone};
use crate::ui::{self, notice, time};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    let change = changes(Permission::InventoryWrite).changes_products();
    PageRoutes::default()
        .page("/console/stock", list, reads(Permission::InventoryRead))
        .page("/console/stock/{sku}", show, reads(Permission::InventoryRead))
        .form("/console/stock/{sku}/adjust", adjust_row, change)
        .form("/console/stock/{sku}/transfer", transfer_units, change)
        .form("/console/stock/{sku}/reorder", reorder, change)
}

async fn list(State(web): State<WebState>, visit: Visit, RawQuery(raw): RawQuery) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let page = Page::parse(None, asked.given("cursor"), &asked.filter_text())?;
    let mut conn = web.db.acquire().await?;
    let filter = StockFilter {
        q: asked.given("q").map(search).transpose()?,
        warehouse_id: asked.optional("warehouse_id")?,
        low_stock: asked.is_on("low").then_some(true),
        as_of: asked.given("as_of").and_then(|text| time::parse(text, visit.zone)),
        ..StockFilter::default()
    };
    let found = stock::list(&mut conn, &filter, &page).await?;
    let houses = super::warehouses::all(&mut conn).await?;
    drop(conn);
    let content = html! {
        (ui::head("Stock", html! {
            (action::link("/console/warehouses", "Warehouses", Emphasis::Plain))
            @if visit.may(Permission::InventoryWrite) { (action::link("/console/stock/count", "Count", Emphasis::Plain)) }
        }))
        (filters(&visit, &asked, html! {
            (Field::text("q", "Name or SKU").optional().max(100).sent(&asked).show())
            (field::select("warehouse_id", "Warehouse", &choices(&houses), asked.text("warehouse_id")))
            (Field::text("as_of", "As it was at").kind("datetime-local").optional().sent(&asked).show())
            (field::tick("low", "Only what is low", asked.is_on("low")))
        }))
        @if let Some(at) = filter.as_of { (notice::hint_with(html! { "Quantities as they were at " (time::time(&visit, at)) "." })) }
        (ui::live("stock", html! {
            @if found.data.is_empty() { (ui::empty("No such stock", html! { p { "Stock is begun on a product's page." } })) }
            @else { (rows(&houses, &found.data)) (pager(&visit, found.next_cursor.as_deref())) }
        }))
    };
    Ok(shell::live_page(&web, &visit, "Stock", content).await?)
}

fn search(text: &str) -> Result<Search> {
    Search::try_from(text.to_owned()).map_err(|invalid| Error::InvalidFields(vec![invalid.at("q")]))
}

fn choices(houses: &[WarehouseView]) -> Vec<(String, String)> {
    let choice = |house: &WarehouseView| (house.id.to_string(), house.code.as_str().to_owned());
    std::iter::once((String::new(), "All".to_owned())).chain(houses.iter().map(choice)).collect()
}

fn house(houses: &[WarehouseView], id: WarehouseId) -> &str {
    houses.iter().find(|house| house.id == id).map_or("unknown", |house| house.code.as_str())
}

fn rows(houses: &[WarehouseView], stock: &[StockView]) -> Markup {
    let columns = [
        column("SKU"),
        column("Warehouse"),
        numbers("Available"),
        numbers("On hand"),
        numbers("Reserved"),
        numbers("Reorder at"),
        column("State"),
    ];
    let rows: Vec<Row> = stock
        .iter()
        .map(|row| Row {
            link: Some(format!("/console/stock/{}", segment(&row.sku))),
            cells: vec![
                html! { (row.sku) },
                html! { (house(houses, row.warehouse_id)) },
                html! { (ui::number(row.available.into())) },
                html! { (ui::number(row.on_hand.into())) },
                html! { (ui::number(row.reserved.into())) },
                html! { (ui::number(row.reorder_level.into())) },
                state(row),
            ],
        })
        .collect();
    table("Stock", &columns, &rows)
}

fn state(row: &StockView) -> Markup {
    match row.available {
        ..=0 => status::badge(Tone::Bad, Icon::Alert, "Out"),
        left if left <= row.reorder_level => status::badge(Tone::Waiting, Icon::Clock, "Low"),
        _ => status::badge(Tone::Good, Icon::Check, "Enough"),
    }
}

// ---- one product -----------------------------------------------------------------------------

async fn show(
    State(web): State<WebState>,
    visit: Visit,
    InPath(sku): InPath<String>,
    RawQuery(raw): RawQuery,
) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    Ok(page(&web, &visit, &sku, &asked, None).await?)
}

async fn page(web: &WebState, visit: &Visit, sku: &str, asked: &Fields, problem: Option<&str>) -> Result<Markup> {
    let sku: Sku = sku.parse().map_err(|_| Error::NotFound(Resource::Product))?;
    let mut conn = web.db.acquire().await?;
    let id = products::id_of_sku(&mut conn, &sku).await?;
    let product = products::get(&mut conn, id).await?;
    let filter = StockFilter { product_id: Some(id), ..StockFilter::default() };
    let rows = stock::list(&mut conn, &filter, &Page::parse(Some(MAX_LIMIT), None, "")?).await?.data;
    let mut charts = Vec::new();
    for row in &rows {
        charts.push((row.warehouse_id, past::history(&mut conn, row.id).await?));
    }
    let movements = MovementFilter { product_id: Some(id), ..MovementFilter::default() };
    let moved = ledger::list(&mut conn, &movements, &Page::parse(None, asked.given("cursor"), "")?).await?;
    let balances = past::balances_after(&mut conn, id, &moved.data).await?;
    let actors: Vec<UserId> = moved.data.iter().filter_map(|movement| movement.actor_id).collect();
    let names = users::names(&mut conn, &actors).await?;
    let of_product = HeldFilter { product_id: Some(id), ..HeldFilter::default() };
    let held = held::list(&mut conn, &of_product, &Page::parse(Some(20), None, "")?).await?.data;
    let houses = super::warehouses::all(&mut conn).await?;
    drop(conn);
    let content = html! {
        (ui::head_with(product.name.as_str(), html! { "Stock of " code { (sku.as_str()) } }, html! {
            (action::link(&format!("/console/products/{}", segment(sku.as_str())), "The product", Emphasis::Plain))
        }))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        @for row in &rows { (shelf(visit, &houses, row)) }
        @if rows.is_empty() { p.quiet { "No warehouse has stocked it yet." } }
        div.grid { @for (warehouse, history) in &charts { (chart(visit, house(&houses, *warehouse), history)) } }
        @if !held.is_empty() { (ui::block("Held for orders that are not paid", html! {
            ul { @for reservation in &held { li {
                @if let Some(number) = &reservation.order_number { a href={ "/console/orders/" (number) } { (number) } } @else { "by hand" }
                " until " (time::both(visit, reservation.expires_at))
            } } }
        })) }
        (ui::block("Ledger", html! { (movements_table(visit, &houses, &names, &moved.data, &balances)) (pager(visit, moved.next_cursor.as_deref())) }))
    };
    shell::live_page(web, visit, product.name.as_str(), content).await
}

fn shelf(visit: &Visit, houses: &[WarehouseView], row: &StockView) -> Markup {
    let here = format!("/console/stock/{}", segment(&row.sku));
    let id = row.id.to_string();
    ui::block(
        house(houses, row.warehouse_id),
        html! {
            (ui::facts(&[
                ("State", state(row)),
                ("Available", html! { b { (ui::number(row.available.into())) } }),
                ("On hand", html! { (ui::number(row.on_hand.into())) }),
                ("Reserved", html! { (ui::number(row.reserved.into())) }),
                ("Reorder", html! { "at " (row.reorder_level) ", " (row.reorder_quantity) " units" }),
                ("Restocked", row.restocked_at.map_or_else(|| html! { span.quiet { "never" } }, |at| time::ago(visit, at))),
            ]))
            @if visit.may(Permission::InventoryWrite) { div.actions.spaced {
                (action::ask("Adjust", Emphasis::Plain, action::form(&format!("{here}/adjust"), "Adjust", Emphasis::Primary, html! {
                    (action::hidden(&[("row", &id)]))
                    (Field::text("delta", "Units more or less").within(&id).kind("number").hint("−3 takes three away.").show())
                    (field::select_within(&id, "reason", "Why", &reasons(), "received"))
                    (Field::text("note", "Note").within(&id).optional().max(500).show())
                })))
                @if houses.len() > 1 { (action::ask("Transfer", Emphasis::Plain, action::form(&format!("{here}/transfer"), "Transfer", Emphasis::Primary, html! {
                    (action::hidden(&[("row", &id)]))
                    (Field::text("quantity", "Units").within(&id).kind("number").hint("Reserved units stay here.").show())
                    (field::select_within(&id, "to", "To", &others(houses, row.warehouse_id), ""))
                    (Field::text("note", "Note").within(&id).optional().max(500).show())
                }))) }
                (action::ask("Reorder settings", Emphasis::Plain, action::form(&format!("{here}/reorder"), "Save", Emphasis::Primary, html! {
                    (action::hidden(&[("row", &id), ("version", &row.version.to_string())]))
                    (Field::text("level", "Reorder at").within(&id).kind("number").value(&row.reorder_level.to_string()).show())
                    (Field::text("quantity", "Units to order").within(&id).kind("number").value(&row.reorder_quantity.to_string()).show())
                })))
            } }
        },
    )
}

fn others(houses: &[WarehouseView], here: WarehouseId) -> Vec<(String, String)> {
    let others = houses.iter().filter(|house| house.id != here);
    others.map(|house| (house.id.to_string(), format!("{} ({})", house.name.as_str(), house.code.as_str()))).collect()
}

const REASONS: [(AdjustReason, &str, &str); 5] = [
    (AdjustReason::Received, "received", "It arrived"),
    (AdjustReason::Counted, "counted", "We counted"),
    (AdjustReason::Damaged, "damaged", "It is damaged"),
    (AdjustReason::Returned, "returned", "It came back"),
    (AdjustReason::Other, "other", "Something else"),
];

fn reasons() -> Vec<(String, String)> {
    REASONS.iter().map(|(_, name, words)| ((*name).to_owned(), (*words).to_owned())).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a chart shows a few digits")]
fn chart(visit: &Visit, warehouse: &str, history: &StockHistory) -> Markup {
    let points: Vec<_> = history.days.iter().chain([&history.now]).collect();
    let times: Vec<DateTime<Utc>> = points.iter().map(|point| point.at).collect();
    let series = |name: &str, of: fn(&past::StockPoint) -> i64| Series {
        name: name.to_owned(),
        values: points.iter().map(|point| Some(of(point) as f64)).collect(),
    };
    let series = vec![series("On hand", |point| point.on_hand), series("Reserved", |point| point.reserved)];
    Chart { title: warehouse, unit: "units, 30 days", times, series, filled: false }.show(visit)
}

/// `balances` are those after each movement.
fn movements_table(
    visit: &Visit,
    houses: &[WarehouseView],
    names: &HashMap<UserId, String>,
    moved: &[MovementView],
    balances: &[(i64, i64)],
) -> Markup {
    let columns = [
        column("When"),
        column("Why"),
        column("Warehouse"),
        numbers("On hand"),
        numbers("Then"),
        numbers("Reserved"),
        numbers("Then"),
        column("Who"),
        column("For"),
        column("Note"),
    ];
    let signed = |delta: i32| format!("{}{}", if delta > 0 { "+" } else { "" }, ui::number(delta.into()));
    let rows: Vec<Row> = moved
        .iter()
        .zip(balances)
        .map(|(movement, (on_hand, reserved))| Row {
            link: None,
            cells: vec![
                time::both(visit, movement.created_at),
                html! { (why(movement.reason)) },
                html! { (house(houses, movement.warehouse_id)) },
                html! { (signed(movement.on_hand_delta)) },
                html! { b { (ui::number(*on_hand)) } },
                html! { (signed(movement.reserved_delta)) },
                html! { b { (ui::number(*reserved)) } },
                html! { (movement.actor_id.and_then(|id| names.get(&id)).map_or("Millrace", String::as_str)) },
                html! { @if let Some(id) = movement.order_id { a href={ "/console/search?q=" (id) } { "the order" } } },
                html! { (movement.note.as_deref().unwrap_or("")) },
            ],
        })
        .collect();
    table("Ledger", &columns, &rows)
}

fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::Received => "Received",
        Reason::Damaged => "Damaged",
        Reason::Counted => "Counted",
        Reason::Returned => "Returned",
        Reason::Other => "Other",
        Reason::Reserved => "Reserved",
        Reason::Released => "Released",
        Reason::Expired => "Expired",
        Reason::Shipped => "Shipped",
    }
}

async fn adjust_row(
    State(web): State<WebState>,
    InPath(sku): InPath<String>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let done = async {
        let id: InventoryId = once.fields.value("row")?;
        let name = once.fields.text("reason");
        let reason = REASONS.iter().find(|(_, known, _)| *known == name);
        let (reason, ..) =
            reason.ok_or_else(|| Error::field("reason", "invalid_value", "say why the stock changes"))?;
        let asked = Adjust { delta: once.fields.whole("delta")?, reason: *reason, note: once.fields.optional("note")? };
        adjust::adjust(&mut once.tx, once.visit.principal()?, id, &asked).await.map(|_| ())
    };
    let done = done.await;
    finish(&web, once, &sku, done).await
}

async fn transfer_units(
    State(web): State<WebState>,
    InPath(sku): InPath<String>,
    mut once: OnceForm,
) -> PageResult<Response> {
    let done = async {
        let id: InventoryId = once.fields.value("row")?;
        let asked = Transfer {
            to_warehouse_id: once.fields.value("to")?,
            quantity: once.fields.whole("quantity")?,
            note: once.fields.optional("note")?,
        };
        transfer::transfer(&mut once.tx, once.visit.principal()?, id, &asked).await.map(|_| ())
    };
    let done = done.await;
    finish(&web, once, &sku, done).await
}

async fn reorder(State(web): State<WebState>, InPath(sku): InPath<String>, mut once: OnceForm) -> PageResult<Response> {
    let done = async {
        let id: InventoryId = once.fields.value("row")?;
        let settings = ReorderSettings {
            reorder_level: Some(once.fields.whole("level")?),
            reorder_quantity: Some(once.fields.whole("quantity")?),
        };
        let seen = once.fields.optional("version")?;
        inventory::update_settings(&mut once.tx, once.visit.principal()?, id, seen, &settings).await.map(|_| ())
    };
    let done = done.await;
    finish(&web, once, &sku, done).await
}

async fn finish(web: &WebState, once: OnceForm, sku: &str, done: Result<()>) -> PageResult<Response> {
    match done {
        Ok(()) => once.leave(&and_say(&format!("/console/stock/{}", segment(sku)), "changed")).await,
        Err(error) => {
            let page = page(web, &once.visit, sku, &Fields::default(), Some(&words(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}
