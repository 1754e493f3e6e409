//! Packing slips: a sheet for each warehouse that the order leaves from. No prices: it lies in the parcel.

use std::collections::BTreeSet;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use shared::error::Result;
use shared::inventory::reserve::ReservationView;
use shared::orders::{OrderView, behind, note, read};
use shared::page::{MAX_LIMIT, Page};
use shared::principal::Permission;
use shared::values::WarehouseId;
use shared::warehouses;
use sqlx::PgConnection;

use super::{order, orders, shell};
use crate::WebState;
use crate::form::Fields;
use crate::once::{OnceForm, and_say};
use crate::path::InPath;
use crate::refusal::PageResult;
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::barcode::code128;
use crate::ui::list::{Row, column, numbers, pager, segment, table};
use crate::ui::{self, time};
use crate::visit::Visit;

/// Orders whose slips are printed together: an hour's packing.
const MAX_ORDERS: i64 = 50;

pub fn routes() -> PageRoutes {
    let (read, change) = (reads(Permission::OrdersRead), changes(Permission::OrdersWrite));
    PageRoutes::default()
        .page("/console/orders/{number}/slip", of_one, read)
        .form("/console/orders/{number}/slip", one_printed, change)
        .page("/console/slips", of_many, read)
        .form("/console/slips", many_printed, change)
}

async fn of_one(State(web): State<WebState>, visit: Visit, InPath(number): InPath<String>) -> PageResult {
    let mut conn = web.db.acquire().await?;
    let id = order::id_of(&mut conn, &visit, &number).await?;
    let order = read::get(&mut conn, visit.principal()?, id).await?;
    let sheets = sheets(&mut conn, &visit, std::slice::from_ref(&order)).await?;
    drop(conn);
    let content = html! {
        (ui::head_with(&format!("Packing slips of {}", order.number), html! { "A sheet for each warehouse." }, html! {
            @if visit.may(Permission::OrdersWrite) && !sheets.is_empty() {
                (action::button(&format!("/console/orders/{}/slip", order.number), "Print", Emphasis::Primary))
            }
            a.button href={ "/console/orders/" (order.number) } { "Back to the order" }
        }))
        @if sheets.is_empty() { (ui::empty("Nothing to pack", html! { p { "The order holds no stock any more." } })) }
        @for sheet in &sheets { (sheet) }
    };
    Ok(shell::still_page(&web, &visit, "Packing slips", content).await?)
}

/// The slips of the orders that a list shows.
async fn of_many(State(web): State<WebState>, visit: Visit, RawQuery(raw): RawQuery) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let page = Page::parse(Some(MAX_ORDERS), asked.given("cursor"), &asked.filter_text())?;
    let mut conn = web.db.acquire().await?;
    let orders = read::list(&mut conn, visit.principal()?, orders::filter(&visit, &asked)?, page).await?;
    let sheets = sheets(&mut conn, &visit, &orders.data).await?;
    drop(conn);
    let numbers: Vec<&str> = orders.data.iter().map(|order| order.number.as_str()).collect();
    let lead = format!(
        "{} of {}.",
        ui::plural(as_count(sheets.len()), "sheet", "sheets"),
        ui::plural(as_count(numbers.len()), "order", "orders")
    );
    let content = html! {
        (ui::head_with("Packing slips", html! { (lead) }, html! {
            @if visit.may(Permission::OrdersWrite) && !sheets.is_empty() {
                (action::form("/console/slips", "Print", Emphasis::Primary, action::hidden(&[("numbers", &numbers.join(" ")), ("from", &visit.here)])))
            }
            a.button href={ "/console/orders?" (asked.filter_text()) } { "Back to the orders" }
        }))
        @if sheets.is_empty() { (ui::empty("Nothing to pack", html! { p { "None of these orders holds stock." } })) }
        @for sheet in &sheets { (sheet) }
        (pager(&visit, orders.next_cursor.as_deref()))
    };
    Ok(shell::still_page(&web, &visit, "Packing slips", content).await?)
}

fn as_count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The timeline says that the slips were printed; the page that follows opens the browser's dialog, where scripts run.
async fn one_printed(InPath(number): InPath<String>, mut once: OnceForm) -> PageResult<Response> {
    let id = order::id_of(&mut once.tx, &once.visit, &number).await?;
    note::slip_printed(&mut once.tx, once.visit.principal()?, id).await?;
    once.leave(&and_say(&format!("/console/orders/{}/slip", segment(&number)), "printed")).await
}

async fn many_printed(mut once: OnceForm) -> PageResult<Response> {
    let numbers: Vec<String> = once.fields.text("numbers").split(' ').map(ToOwned::to_owned).collect();
    for number in numbers.iter().take(usize::try_from(MAX_ORDERS).expect("it is small")) {
        let id = order::id_of(&mut once.tx, &once.visit, number).await?;
        note::slip_printed(&mut once.tx, once.visit.principal()?, id).await?;
    }
    let from = once.fields.text("from").to_owned();
    let back = if from.starts_with("/console/slips?") { from } else { "/console/orders".to_owned() };
    once.leave(&and_say(&back, "printed")).await
}

/// A sheet for each warehouse that one of the orders leaves from.
async fn sheets(conn: &mut PgConnection, visit: &Visit, orders: &[OrderView]) -> Result<Vec<Markup>> {
    let houses = warehouses::list(conn, &Page::parse(Some(MAX_LIMIT), None, "")?).await?.data;
    let name = |id: WarehouseId| houses.iter().find(|house| house.id == id).map_or("", |house| house.name.as_str());
    let mut sheets = Vec::new();
    for order in orders {
        let allocation = behind::allocation(conn, visit.principal()?, order.id).await?;
        let Some(reservation) = allocation.reservation.filter(|it| it.state.keeps_stock()) else { continue };
        let from: BTreeSet<WarehouseId> = reservation.items.iter().map(|item| item.warehouse_id).collect();
        sheets.extend(from.into_iter().map(|warehouse| sheet(visit, order, &reservation, warehouse, name(warehouse))));
    }
    Ok(sheets)
}

fn sheet(
    visit: &Visit,
    order: &OrderView,
    reservation: &ReservationView,
    warehouse: WarehouseId,
    name: &str,
) -> Markup {
    let tracking = order.shipments.iter().find(|shipment| shipment.warehouse_id == Some(warehouse));
    let tracking = tracking.and_then(|shipment| shipment.tracking_number.as_deref());
    let rows: Vec<Row> = reservation
        .items
        .iter()
        .filter(|line| line.warehouse_id == warehouse)
        .filter_map(|line| {
            let item = order.items.iter().find(|item| item.product_id == line.product_id)?;
            Some(Row {
                link: None,
                cells: vec![html! { (item.name) }, html! { code { (item.sku.as_str()) } }, html! { (line.quantity) }],
            })
        })
        .collect();
    html! {
        section.slip {
            div.head { div { h2 { "Millrace" } p { "Order " b { (order.number) } } } (code128(&order.number)) }
            (ui::facts(&[
                ("For", ui::address(&order.shipping_address)),
                ("From", html! { (name) }),
                ("Placed", time::time(visit, order.created_at)),
                ("Tracking", html! { (tracking.unwrap_or("not yet")) }),
            ]))
            (table("What is in the parcel", &[column("Product"), column("SKU"), numbers("Units")], &rows))
        }
    }
}
