//! Reads everything that the page of an order shows.

use std::collections::BTreeMap;

use axum::extract::Path;
use serde_json::Value;
use shared::catalog::products;
use shared::error::Result;
use shared::inventory::reserve::{self, ReservationState, ReservationView};
use shared::ops::jobs::{self, JobDetail, JobFilter};
use shared::orders::read::{self, OrderEvent, OrderFilter};
use shared::orders::status::Status;
use shared::orders::{OrderView, PaymentStatus};
use shared::page::{MAX_LIMIT, Page};
use shared::payments::{self, ChargeAtProvider};
use shared::queue::JobState;
use shared::values::OrderId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::shown::{ChargeFacts, HeldLine, Hold, Looked, OrderAction, OrderPage, StockHeld, address};
use super::view;
use crate::answer::PageResult;
use crate::console::frame::{frame, warehouse_names};
use crate::visit::Visit;

/// Beside the order there is room for this many others of its customer.
const OTHER_ORDERS: i64 = 6;

/// By its number, or by its id as timelines and the record of actions have it.
pub async fn order(visit: Visit, Path(number): Path<String>) -> PageResult {
    if let Ok(id) = number.parse::<OrderId>() {
        let order = read::get(&mut *visit.connection().await?, visit.caller()?, id).await?;
        return Ok(visit.see(&address(&order)));
    }
    let shown = load(&visit, &number).await?;
    if shown.order.number != number {
        return Ok(visit.see(&address(&shown.order)));
    }
    Ok(visit.page(view::render(&frame(&visit)?, &shown)))
}

pub async fn load(visit: &Visit, number: &str) -> Result<OrderPage> {
    let caller = visit.caller()?;
    let mut conn = visit.connection().await?;
    let order = read::by_number(&mut conn, caller, number).await?;
    let events = read::events(&mut conn, caller, order.id, Page::parse(Some(MAX_LIMIT), None, "")?).await?.data;
    let jobs = jobs_of(&mut conn, order.id).await?;
    let charge = payments::charge_of(&mut conn, order.id).await?;
    let reservation = reserve::of_order(&mut conn, order.id).await?;
    let others = OrderFilter { customer_id: Some(order.customer_id), ..OrderFilter::default() };
    let others = read::list(&mut conn, caller, others, Page::parse(Some(OTHER_ORDERS), None, "")?).await?.data;
    let warehouses = warehouse_names(&mut conn).await?;
    let skus: Vec<&str> = order.items.iter().map(|item| item.sku.as_str()).collect();
    let products = products::by_skus(&mut conn, &skus).await?;
    drop(conn);
    let names = visit.state.categories().await?;
    let name_of =
        |id| names.iter().find(|category| category.id == id).map(|category| category.name.as_str().to_owned());
    let categories: BTreeMap<String, String> = products
        .into_iter()
        .filter_map(|product| Some((product.sku.into_string(), product.category_id.and_then(name_of)?)))
        .collect();
    Ok(OrderPage {
        actions: actions(&order, &jobs),
        charge: charge.map(|charge| charge_facts(&charge, &jobs)),
        allocation: reservation.map(|reservation| stock_held(&order, &events, &reservation)),
        warehouses,
        categories,
        other_orders: others.into_iter().filter(|other| other.id != order.id).take(5).collect(),
        order,
        events,
        jobs,
        newer: None,
        older: None,
        trace: None,
        has_past: false,
        has_slip: false,
        takes_notes: false,
        as_of: None,
        key: Uuid::now_v7(),
    })
}

async fn jobs_of(conn: &mut PgConnection, id: OrderId) -> Result<Vec<JobDetail>> {
    let filter = JobFilter { order_id: Some(id), ..JobFilter::default() };
    let found = jobs::list(conn, filter, Page::parse(None, None, "")?).await?.data;
    let mut details = Vec::with_capacity(found.len());
    for job in found {
        details.push(jobs::get(conn, job.id).await?);
    }
    Ok(details)
}

/// What the server allows now. The first is what helps most.
fn actions(order: &OrderView, jobs: &[JobDetail]) -> Vec<OrderAction> {
    let dead = jobs.iter().find(|detail| detail.job.state == JobState::Dead).map(|detail| detail.job.id);
    let allowed = order.status.allowed_manually();
    let mut actions: Vec<OrderAction> = dead.into_iter().map(OrderAction::RetryJob).collect();
    for (to, action) in [
        (Status::Paid, OrderAction::MarkPaid),
        (Status::Shipped, OrderAction::ShipByHand),
        (Status::Delivered, OrderAction::MarkDelivered),
    ] {
        actions.extend(allowed.contains(&to).then_some(action));
    }
    if allowed.contains(&Status::Cancelling) && order.shipments.is_empty() {
        let paid = order.payment.as_ref().filter(|payment| payment.status == PaymentStatus::Charged);
        let units = order.items.iter().map(|item| i64::from(item.quantity)).sum();
        actions.push(OrderAction::Cancel { refund: paid.map(|payment| payment.amount), units });
    }
    actions.extend(dead.map(OrderAction::GiveUpJob));
    actions
}

fn charge_facts(charge: &ChargeAtProvider, jobs: &[JobDetail]) -> ChargeFacts {
    let job = jobs.iter().find(|detail| detail.job.kind == "process_payment");
    ChargeFacts {
        key: charge.key,
        asked: job.map_or(1, |detail| detail.job.attempt.max(1)),
        last_asked: job.and_then(|detail| detail.attempts.last()).and_then(|attempt| attempt.started_at),
        unknown: charge.open,
    }
}

fn stock_held(order: &OrderView, events: &[OrderEvent], reservation: &ReservationView) -> StockHeld {
    let sku = |id| order.items.iter().find(|item| item.product_id == id).map_or("", |item| item.sku.as_str());
    StockHeld {
        state: match reservation.state {
            ReservationState::Held => Hold::Until(reservation.expires_at),
            ReservationState::Posted => Hold::Kept,
            ReservationState::Shipped => Hold::Shipped,
            ReservationState::Released | ReservationState::Expired => Hold::Released,
        },
        lines: reservation
            .items
            .iter()
            .map(|line| HeldLine {
                warehouse_id: line.warehouse_id.0,
                sku: sku(line.product_id).to_owned(),
                quantity: line.quantity,
            })
            .collect(),
        considered: considered(order, events),
    }
}

/// Which warehouses were looked at, as the event `placed` tells it.
fn considered(order: &OrderView, events: &[OrderEvent]) -> Vec<Looked> {
    let placed = events.iter().find(|event| event.r#type == "placed");
    let looked = placed.and_then(|event| event.data.pointer("/sourcing/considered")?.as_array());
    let one = |looked: &Value| {
        let lacks = looked.get("lacks")?.as_array()?.iter().filter_map(Value::as_u64);
        let names: Vec<&str> =
            lacks.filter_map(|line| Some(order.items.get(usize::try_from(line).ok()?)?.name.as_str())).collect();
        let warehouse_id = looked.get("warehouse_id")?.as_str()?.parse().ok()?;
        Some(Looked { warehouse_id, lacked: (!names.is_empty()).then(|| names.join(", ")) })
    };
    looked.into_iter().flatten().filter_map(one).collect()
}
