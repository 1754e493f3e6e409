//! Shipping: a paid order gets its shipments, the carrier is called, and then the stock leaves and the order is
//! shipped, for many orders in one transaction.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;

use super::event::{Event, ShippedParcel};
use super::jobs::DeliverOrder;
use super::status::Edge;
use super::transition;
use crate::error::{Error, Result};
use crate::inventory::reserve;
use crate::principal::Principal;
use crate::queue::settle::{self, Recorded};
use crate::queue::{self, LeasedJob, Plan, Ring};
use crate::shipping::{self, Shipment};
use crate::values::OrderId;

/// Opens the shipments of paid orders; from then on they cannot be cancelled. An order that is not paid is missing.
/// Repeating it returns the same shipments.
pub async fn start(conn: &mut PgConnection, orders: &[OrderId]) -> Result<HashMap<OrderId, Vec<Shipment>>> {
    shipping::open(conn, orders).await
}

/// An order that the carrier has accepted, and the attempt that booked it.
#[derive(Debug, Clone)]
pub struct Booked {
    pub job: LeasedJob,
    pub order_id: OrderId,
    pub shipments: Vec<Shipment>,
    /// When to ask whether it has arrived.
    pub delivery: Plan,
}

/// Finishes the jobs and lets their orders' stock leave. The number of statements does not grow with the batch.
pub async fn record(conn: &mut PgConnection, batch: &[Booked]) -> Result<Recorded> {
    let finished = settle::finish_all(conn, batch.iter().map(|booked| &booked.job)).await?;
    let ours: Vec<&Booked> = batch.iter().filter(|booked| finished.contains(&booked.job.id)).collect();
    if ours.is_empty() {
        return Ok(Recorded::default());
    }
    let leaving: Vec<_> = ours.iter().map(|booked| (booked.order_id, &booked.shipments[..])).collect();
    let left: HashSet<OrderId> = ship(conn, &leaving, false, &Principal::system()).await?.into_iter().collect();
    let deliveries: Vec<_> = ours
        .iter()
        .filter(|booked| left.contains(&booked.order_id))
        .map(|booked| (DeliverOrder { order_id: booked.order_id }, &booked.delivery))
        .collect();
    let rings = queue::enqueue_many(conn, &deliveries).await?;
    Ok(Recorded { finished, rings, claimed: Vec::new() })
}

/// Staff send a paid order without the carrier: its stock leaves, and its shipments have no tracking number. None:
/// the order is not paid. The job that would have shipped it then finds nothing to do.
pub async fn ship_manually(
    conn: &mut PgConnection,
    staff: &Principal,
    order_id: OrderId,
    delivery: &Plan,
) -> Result<Option<Ring>> {
    let Some(shipments) = start(conn, &[order_id]).await?.remove(&order_id) else { return Ok(None) };
    ship(conn, &[(order_id, &shipments)], true, staff).await?;
    queue::enqueue(conn, &DeliverOrder { order_id }, delivery).await
}

/// Paid → shipped, with their shipments and their stock. Returns the orders that moved.
async fn ship(
    conn: &mut PgConnection,
    leaving: &[(OrderId, &[Shipment])],
    by_hand: bool,
    by: &Principal,
) -> Result<Vec<OrderId>> {
    let events: Vec<_> = leaving
        .iter()
        .map(|(id, shipments)| (*id, Event::Shipped { shipments: parcels(shipments), by_hand }))
        .collect();
    let moved = transition::advance(conn, Edge::SHIP, &events, by).await?;
    let left: Vec<OrderId> = moved.iter().map(|order| order.id).collect();
    let shipments: Vec<&Shipment> = leaving.iter().flat_map(|(_, shipments)| *shipments).collect();
    shipping::mark_shipped(conn, &shipments).await?;
    if reserve::ship_of_orders(conn, by.user_id(), &left).await?.len() != left.len() {
        return Err(Error::internal("a paid order was to leave, and its stock was not posted"));
    }
    Ok(left)
}

fn parcels(shipments: &[Shipment]) -> Vec<ShippedParcel> {
    let parcel = |shipment: &Shipment| ShippedParcel {
        id: shipment.id,
        warehouse_id: shipment.warehouse_id,
        tracking_number: shipment.tracking_number.clone(),
    };
    shipments.iter().map(parcel).collect()
}
