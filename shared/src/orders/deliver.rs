//! Delivery: a shipped order has reached its buyer.

use std::collections::HashSet;

use sqlx::PgConnection;

use super::event::Event;
use super::status::Edge;
use super::transition;
use crate::error::Result;
use crate::principal::Principal;
use crate::queue::{LeasedJob, settle};
use crate::shipping;
use crate::values::{JobId, OrderId};

/// An order that has arrived, and the attempt that noticed it.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub job: LeasedJob,
    pub order_id: OrderId,
}

/// Finishes the jobs and marks their orders as delivered. Returns the jobs that were finished; the others had lost
/// their lease.
pub async fn record(conn: &mut PgConnection, batch: &[Arrived]) -> Result<HashSet<JobId>> {
    let jobs: Vec<_> = batch.iter().map(|arrived| (arrived.job.id, arrived.job.attempt)).collect();
    let finished: HashSet<JobId> = settle::finish_many(conn, &jobs).await?.into_iter().collect();
    let orders: Vec<OrderId> =
        batch.iter().filter(|arrived| finished.contains(&arrived.job.id)).map(|arrived| arrived.order_id).collect();
    if !orders.is_empty() {
        deliver(conn, &orders, false, &Principal::system()).await?;
    }
    Ok(finished)
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
