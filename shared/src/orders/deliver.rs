//! Delivery: the end of an order that went well.

use std::collections::HashSet;

use serde_json::json;
use sqlx::PgConnection;

use crate::error::Result;
use crate::queue::{LeasedJob, settle};
use crate::shipping;
use crate::values::{JobId, OrderId};

/// An order that has arrived, and the attempt that found it out.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub job: LeasedJob,
    pub order_id: OrderId,
}

/// Finishes the jobs, and their orders are delivered. Answers which jobs were still ours.
pub async fn record(conn: &mut PgConnection, batch: &[Arrived]) -> Result<HashSet<JobId>> {
    let jobs: Vec<_> = batch.iter().map(|arrived| (arrived.job.id, arrived.job.attempt)).collect();
    let finished: HashSet<JobId> = settle::finish_many(conn, &jobs).await?.into_iter().collect();
    let orders: Vec<OrderId> =
        batch.iter().filter(|arrived| finished.contains(&arrived.job.id)).map(|arrived| arrived.order_id).collect();
    if !orders.is_empty() {
        arrive(conn, &orders, false).await?;
    }
    Ok(finished)
}

/// Somebody knows that a shipped order has arrived. False: it is not on its way (any more).
pub async fn by_hand(conn: &mut PgConnection, order_id: OrderId) -> Result<bool> {
    Ok(!arrive(conn, &[order_id], true).await?.is_empty())
}

/// Shipped → delivered, with their shipments. Tells whose did, and only now.
async fn arrive(conn: &mut PgConnection, orders: &[OrderId], by_hand: bool) -> Result<Vec<OrderId>> {
    let arrived = sqlx::query_scalar!(
        r#"with sent as materialized (
               select id from orders where id = any($1) and status = 'shipped' order by id for no key update),
           arrived as (
               update orders o
                  set status = 'delivered', event_sequence = o.event_sequence + 1, version = o.version + 1,
                      updated_at = clock_timestamp()
                 from sent where o.id = sent.id
               returning o.id, o.event_sequence),
           told as (
               insert into order_events (order_id, sequence, type, data)
               select id, event_sequence, 'delivered', $2 from arrived)
           select id as "id: OrderId" from arrived"#,
        orders as &[OrderId],
        json!({ "by_hand": by_hand }),
    )
    .fetch_all(&mut *conn)
    .await?;
    shipping::arrive(conn, &arrived).await?;
    Ok(arrived)
}
