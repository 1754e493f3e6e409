//! Wakes the jobs that deliver: gives a shard of an endpoint a job, unless it has one that is due.
//!
//! Lock order: jobs, then endpoints, then pumps. A transaction that writes deliveries first locks the pumps of their shards, and
//! a job locks its pump before it looks whether something is left. So no delivery is left without a job.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::jobs::{DeliverWebhooks, SHARDS, plan};
use crate::error::Result;
use crate::queue::{self, Ring};
use crate::values::WebhookId;

/// A shard of an endpoint.
pub type Shard = (WebhookId, i16);

/// All shards of an endpoint.
pub fn all_of(endpoint: WebhookId) -> Vec<Shard> {
    (0..SHARDS).map(|shard| (endpoint, shard)).collect()
}

/// Locks these pumps, in one order, until the end of the transaction.
pub async fn lock(conn: &mut PgConnection, shards: &[Shard]) -> Result<()> {
    let (endpoints, shards): (Vec<Uuid>, Vec<i16>) =
        shards.iter().map(|(endpoint, shard)| (endpoint.0, *shard)).unzip();
    sqlx::query!(
        "select 1 as one from webhook_pumps
           join unnest($1::uuid[], $2::smallint[]) wanted (endpoint_id, shard) using (endpoint_id, shard)
          order by endpoint_id, shard for no key update of webhook_pumps",
        &endpoints,
        &shards,
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// Gives these shards a job at this time (None: at once), unless theirs is due earlier. A job that was planned for later
/// becomes stale.
pub async fn wake(conn: &mut PgConnection, shards: &[Shard], at: Option<DateTime<Utc>>) -> Result<Vec<Ring>> {
    lock(conn, shards).await?;
    let (endpoints, shards): (Vec<Uuid>, Vec<i16>) =
        shards.iter().map(|(endpoint, shard)| (endpoint.0, *shard)).unzip();
    let woken = sqlx::query!(
        r#"update webhook_pumps p
              set turn = turn + 1, due_at = greatest($3, t.now)
             from unnest($1::uuid[], $2::smallint[]) wanted (endpoint_id, shard), (select statement_timestamp() as now) t
            where p.endpoint_id = wanted.endpoint_id and p.shard = wanted.shard
              and (p.due_at is null or p.due_at > greatest($3, t.now))
        returning p.endpoint_id as "endpoint_id: WebhookId", p.shard, p.turn,
                  extract(epoch from p.due_at - t.now)::float8 as "wait!""#,
        &endpoints,
        &shards,
        at,
    )
    .fetch_all(&mut *conn)
    .await?;
    let plans: Vec<_> = woken.iter().map(|row| plan(Duration::from_secs_f64(row.wait.max(0.0)))).collect();
    let jobs: Vec<_> = woken
        .iter()
        .zip(&plans)
        .map(|(row, plan)| (DeliverWebhooks { endpoint_id: row.endpoint_id, shard: row.shard, turn: row.turn }, plan))
        .collect();
    queue::enqueue_many(conn, &jobs).await
}
