//! Shipping: a paid order gets its shipments, the carrier is called, and then the stock leaves and the order
//! is shipped, for many orders in one transaction.

use std::collections::HashSet;

use serde_json::{Value, json};
use sqlx::PgConnection;

use super::jobs::DeliverOrder;
use crate::error::{Error, Result};
use crate::inventory::reserve;
use crate::queue::{self, LeasedJob, Plan, Ring, settle};
use crate::shipping::{self, Shipment};
use crate::values::{JobId, OrderId, UserId};

/// Opens the shipments of a paid order; from then on it cannot be cancelled. None: there is nothing to ship
/// (any more). Repeating it answers the same shipments.
pub async fn start(conn: &mut PgConnection, order_id: OrderId) -> Result<Vec<Shipment>> {
    shipping::open(conn, order_id).await
}

/// An order that the carrier will carry, and the attempt that has booked it.
#[derive(Debug, Clone)]
pub struct Booked {
    pub job: LeasedJob,
    pub order_id: OrderId,
    pub shipments: Vec<Shipment>,
    /// When to ask whether it has arrived.
    pub delivery: Plan,
}

/// What came of jobs that were recorded together.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Those that are not here had lost their lease: nothing of them was kept.
    pub finished: HashSet<JobId>,
    pub rings: Vec<Ring>,
}

/// Finishes the jobs and lets their orders' stock leave. The number of statements does not grow with them.
pub async fn record(conn: &mut PgConnection, batch: &[Booked]) -> Result<Recorded> {
    let jobs: Vec<_> = batch.iter().map(|booked| (booked.job.id, booked.job.attempt)).collect();
    let finished: HashSet<JobId> = settle::finish_many(conn, &jobs).await?.into_iter().collect();
    let ours: Vec<&Booked> = batch.iter().filter(|booked| finished.contains(&booked.job.id)).collect();
    if ours.is_empty() {
        return Ok(Recorded::default());
    }
    let leaving: Vec<Leaving> = ours
        .iter()
        .map(|booked| Leaving { order_id: booked.order_id, shipments: &booked.shipments, by_hand: false })
        .collect();
    let left: HashSet<OrderId> = leave(conn, None, &leaving).await?.into_iter().collect();
    let deliveries: Vec<_> = ours
        .iter()
        .filter(|booked| left.contains(&booked.order_id))
        .map(|booked| (DeliverOrder { order_id: booked.order_id }, &booked.delivery))
        .collect();
    let rings = queue::enqueue_many(conn, &deliveries).await?;
    Ok(Recorded { finished, rings })
}

/// Somebody sends a paid order without the carrier: its stock leaves, and its shipments have no tracking
/// number. None: it is not paid (any more). The job that would have shipped it finds nothing to do.
pub async fn by_hand(
    conn: &mut PgConnection,
    actor: Option<UserId>,
    order_id: OrderId,
    delivery: &Plan,
) -> Result<Option<Ring>> {
    let shipments = start(conn, order_id).await?;
    if shipments.is_empty() {
        return Ok(None);
    }
    leave(conn, actor, &[Leaving { order_id, shipments: &shipments, by_hand: true }]).await?;
    queue::enqueue(conn, &DeliverOrder { order_id }, delivery).await
}

struct Leaving<'a> {
    order_id: OrderId,
    shipments: &'a [Shipment],
    by_hand: bool,
}

impl Leaving<'_> {
    /// What the order's timeline tells.
    fn story(&self) -> Value {
        let shipments: Vec<Value> = self
            .shipments
            .iter()
            .map(
                |one| json!({ "id": one.id, "warehouse_id": one.warehouse_id, "tracking_number": one.tracking_number }),
            )
            .collect();
        json!({ "shipments": shipments, "by_hand": self.by_hand })
    }
}

/// Paid → shipped, with their shipments and their stock. Tells whose did, and only now.
async fn leave(conn: &mut PgConnection, actor: Option<UserId>, leaving: &[Leaving<'_>]) -> Result<Vec<OrderId>> {
    let orders: Vec<OrderId> = leaving.iter().map(|one| one.order_id).collect();
    let stories: Vec<Value> = leaving.iter().map(Leaving::story).collect();
    let left = sqlx::query_scalar!(
        r#"with paid as materialized (
               select id from orders where id = any($1) and status = 'paid' order by id for no key update),
           left_now as (
               update orders o
                  set status = 'shipped', event_sequence = o.event_sequence + 1, version = o.version + 1,
                      updated_at = clock_timestamp()
                 from paid where o.id = paid.id
               returning o.id, o.event_sequence),
           told as (
               insert into order_events (order_id, sequence, type, data)
               select l.id, l.event_sequence, 'shipped', asked.story
                 from left_now l join unnest($1::uuid[], $2::jsonb[]) asked (id, story) on asked.id = l.id)
           select id as "id: OrderId" from left_now"#,
        &orders as &[OrderId],
        &stories,
    )
    .fetch_all(&mut *conn)
    .await?;
    let shipments: Vec<&Shipment> = leaving.iter().flat_map(|one| one.shipments).collect();
    shipping::send(conn, &shipments).await?;
    if reserve::ship_of_orders(conn, actor, &left).await?.len() != left.len() {
        return Err(Error::internal("a paid order was to leave, and its stock was not posted"));
    }
    Ok(left)
}
