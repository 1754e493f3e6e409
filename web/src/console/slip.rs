//! Packing slips: a sheet for each warehouse that the order leaves from. No prices: it lies in the parcel.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use shared::inventory::reserve::ReservationView;
use shared::orders::{OrderView, behind, note, read};
use shared::page::{MAX_LIMIT, Page};
use shared::principal::Permission;
use shared::values::WarehouseId;
use shared::warehouses;

use super::{order, shell};
use crate::WebState;
use crate::once::{OnceForm, and_say};
use crate::path::InPath;
use crate::refusal::PageResult;
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::barcode::code128;
use crate::ui::list::{Row, column, numbers, segment, table};
use crate::ui::{self, time};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    PageRoutes::default().page("/console/orders/{number}/slip", slip, reads(Permission::OrdersRead)).form(
        "/console/orders/{number}/slip",
        printed,
        changes(Permission::OrdersWrite),
    )
}

async fn slip(State(web): State<WebState>, visit: Visit, InPath(number): InPath<String>) -> PageResult {
    let mut conn = web.db.acquire().await?;
    let id = order::id_of(&mut conn, &visit, &number).await?;
    let order = read::get(&mut conn, visit.principal()?, id).await?;
    let allocation = behind::allocation(&mut conn, visit.principal()?, id).await?;
    let houses = warehouses::list(&mut conn, &Page::parse(Some(MAX_LIMIT), None, "")?).await?.data;
    drop(conn);
    let from: BTreeSet<WarehouseId> =
        allocation.reservation.iter().flat_map(|it| &it.items).map(|item| item.warehouse_id).collect();
    let name = |id: WarehouseId| houses.iter().find(|house| house.id == id).map_or("", |house| house.name.as_str());
    let content = html! {
        (ui::head_with(&format!("Packing slips of {}", order.number), html! { "A sheet for each warehouse." }, html! {
            @if visit.may(Permission::OrdersWrite) && allocation.reservation.is_some() {
                (action::button(&format!("/console/orders/{}/slip", order.number), "Print", Emphasis::Primary))
            }
            a.button href={ "/console/orders/" (order.number) } { "Back to the order" }
        }))
        @if let Some(reservation) = &allocation.reservation {
            @for warehouse in &from { (sheet(&visit, &order, reservation, *warehouse, name(*warehouse))) }
        } @else { (ui::empty("Nothing to pack", html! { p { "The order holds no stock any more." } })) }
    };
    Ok(shell::still_page(&web, &visit, "Packing slips", content).await?)
}

/// The timeline says that the slips were printed; the page that follows opens the browser's dialog, where scripts run.
async fn printed(InPath(number): InPath<String>, mut once: OnceForm) -> PageResult<Response> {
    let id = order::id_of(&mut once.tx, &once.visit, &number).await?;
    note::slip_printed(&mut once.tx, once.visit.principal()?, id).await?;
    once.leave(&and_say(&format!("/console/orders/{}/slip", segment(&number)), "printed")).await
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
