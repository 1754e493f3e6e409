//! Repairs what has no job: a shard of an endpoint whose job is dead or gone, or that was left idle with something to send.
//! Nothing should ever be found; it is the net under `wake`.

use sqlx::PgConnection;

use super::wake::{self, Shard};
use crate::error::Result;
use crate::queue::Ring;
use crate::values::WebhookId;

/// Wakes every shard that is due for some seconds and has no job that is ready or running.
pub async fn sweep(conn: &mut PgConnection) -> Result<Vec<Ring>> {
    let forgotten = sqlx::query!(
        r#"select p.endpoint_id as "endpoint_id: WebhookId", p.shard, p.turn
             from webhook_pumps p join webhook_endpoints e on e.id = p.endpoint_id
            where e.state = 'enabled' and e.deleted_at is null
              and case when p.due_at is null
                       then e.failing_since is null
                            and exists (select from webhook_deliveries d
                                         where d.endpoint_id = p.endpoint_id and d.shard = p.shard and d.state = 'pending'
                                           and d.next_attempt_at < now() - interval '5 seconds')
                       else p.due_at < now() - interval '5 seconds'
                            and not exists (select from jobs j
                                             where j.unique_key = 'deliver_webhooks ' || p.endpoint_id || ' ' || p.shard || ' ' || p.turn
                                               and j.state in ('ready', 'running')) end"#,
    )
    .fetch_all(&mut *conn)
    .await?;
    if forgotten.is_empty() {
        return Ok(Vec::new());
    }
    let shards: Vec<Shard> = forgotten.iter().map(|row| (row.endpoint_id, row.shard)).collect();
    wake::lock(conn, &shards).await?;
    // Only those that are as they were found.
    sqlx::query!(
        "update webhook_pumps p set due_at = null from unnest($1::uuid[], $2::smallint[], $3::bigint[]) found (endpoint_id, shard, turn)
          where p.endpoint_id = found.endpoint_id and p.shard = found.shard and p.turn = found.turn
            and (p.due_at is null or p.due_at < now() - interval '5 seconds')",
        &forgotten.iter().map(|row| row.endpoint_id.0).collect::<Vec<_>>(),
        &forgotten.iter().map(|row| row.shard).collect::<Vec<_>>(),
        &forgotten.iter().map(|row| row.turn).collect::<Vec<_>>(),
    )
    .execute(&mut *conn)
    .await?;
    tracing::warn!(shards = shards.len(), "webhooks had something to send and no job; they have one again");
    wake::wake(conn, &shards, None).await
}
