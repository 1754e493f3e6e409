//! An order as it was at an earlier moment, folded from its events. What no event tells (the address, the lines) never
//! changes. Writes no table.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::read::{self, OrderEvent};
use super::status::Status;
use super::{OrderPayment, OrderView, PaymentStatus, ShipmentStatus};
use crate::error::{Error, Resource, Result};
use crate::page::{MAX_LIMIT, Page};
use crate::principal::Principal;
use crate::values::OrderId;

/// The order at that moment. Before it was placed, it does not exist.
pub async fn get(conn: &mut PgConnection, caller: &Principal, id: OrderId, at: DateTime<Utc>) -> Result<OrderView> {
    let now = read::get(conn, caller, id).await?;
    let events = read::events(conn, caller, id, Page::parse(Some(MAX_LIMIT), None, "")?).await?.data;
    let then: Vec<OrderEvent> = events.into_iter().filter(|event| event.at <= at).collect();
    fold(now, &then).ok_or(Error::NotFound(Resource::Order))
}

fn fold(now: OrderView, events: &[OrderEvent]) -> Option<OrderView> {
    let last = events.last()?;
    let status = events.iter().rev().find_map(|event| status_after(&event.r#type))?;
    let at = |kind: &str| events.iter().find(|event| event.r#type == kind).map(|event| event.at);
    let (shipped, delivered) = (at("shipped"), at("delivered"));
    let shipments = now.shipments.iter().cloned().filter_map(|mut shipment| {
        shipped?;
        shipment.status = if delivered.is_some() { ShipmentStatus::Delivered } else { ShipmentStatus::Shipped };
        shipment.delivered_at = delivered;
        Some(shipment)
    });
    Some(OrderView {
        status,
        payment: payment(&now, events),
        shipments: shipments.collect(),
        cancel_reason: now.cancel_reason.clone().filter(|_| matches!(status, Status::Cancelling | Status::Cancelled)),
        next_action: None,
        version: last.sequence,
        updated_at: last.at,
        ..now
    })
}

/// The state that an event leads to. Notes and retries lead to none.
fn status_after(kind: &str) -> Option<Status> {
    if kind == "placed" {
        return Some(Status::Pending);
    }
    Status::ALL.into_iter().find(|status| status.name() == kind)
}

/// What was known of the payment then.
fn payment(now: &OrderView, events: &[OrderEvent]) -> Option<OrderPayment> {
    let payment = now.payment.clone()?;
    events.iter().rev().find_map(|event| {
        let status = match event.r#type.as_str() {
            "processing" => PaymentStatus::Pending,
            "paid" => PaymentStatus::Charged,
            "cancelled" => match event.data["payment"].as_str() {
                Some("refunded") => PaymentStatus::Refunded,
                Some("declined") => PaymentStatus::Declined,
                Some("voided") => PaymentStatus::Voided,
                _ => return None,
            },
            _ => return None,
        };
        Some(OrderPayment { status, at: event.at, ..payment.clone() })
    })
}
