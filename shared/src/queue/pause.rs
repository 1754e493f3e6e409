//! Pauses queues. A paused queue stays in Redis and in Postgres; workers leave it out of what they take and claim.

use sqlx::PgConnection;

use super::Queue;
use crate::error::Result;

/// Pauses a queue or resumes it. Tells whether that changed anything.
pub async fn set_paused(conn: &mut PgConnection, queue: Queue, paused: bool) -> Result<bool> {
    let changed = sqlx::query!(
        "update queues set paused = $2, changed_at = clock_timestamp() where name = $1 and paused <> $2",
        queue as Queue,
        paused,
    )
    .execute(conn)
    .await?;
    Ok(changed.rows_affected() > 0)
}
