//! Delivery: a shipped order has reached its buyer.

use sqlx::PgConnection;

use super::event::Event;
use super::status::Edge;
use super::transition;
use crate::error::Result;
use crate::principal::Principal;
use crate::queue::LeasedJob;
use crate::queue::settle::{self, Recorded};
use crate::shipping;
use crate::values::OrderId;

/// An order that has arrived, and the attempt that noticed it.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub job: LeasedJob,
    pub order_id: OrderId,
}

/// Finishes the jobs and marks their orders as delivered.
pub async fn record(conn: &mut PgConnection, batch: &[Arrived]) -> Result<Recorded> {
    let finished = settle::finish_all(conn, batch.iter().map(|arrived| &arrived.job)).await?;
    let orders: Vec<OrderId> =
        batch.iter().filter(|arrived| finished.contains(&arrived.job.id)).map(|arrived| arrived.order_id).collect();
    if !orders.is_empty() {
        deliver(conn, &orders, false, &Principal::system()).await?;
    }
    Ok(Recorded { finished, ..Recorded::default() })
}

/// Staff know that a shipped order has arrived. False: the order is not shipped, and nothing was changed.
pub async fn deliver_manually(conn: &mut PgConnection, staff: &Principal, order_id: OrderId) -> Result<bool> {
    Ok(!deliver(conn, &[order_id], true, staff).await?.is_empty())
}

/// Shipped → delivered, with their shipments. Returns the orders that moved.
async fn deliver(conn: &mut PgConnection, orders: &[OrderId], by_hand: bool, by: &Principal) -> Result<Vec<OrderId>> {
    let events: Vec<_> = orders.iter().map(|id| (*id, Event::Delivered { by_hand })).collect();
    let moved = transition::advance(conn, Edge::DELIVER, &events, by).await?;
    let delivered: Vec<OrderId> = moved.iter().map(|order| order.id).collect();
    shipping::mark_delivered(conn, &delivered).await?;
    Ok(delivered)
}
