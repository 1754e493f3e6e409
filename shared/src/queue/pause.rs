//! Pauses a queue and resumes it.

use sqlx::PgConnection;

use super::Queue;
use crate::error::Result;

/// While a queue is paused, no worker claims from it; running jobs finish. Repeating it changes nothing.
pub async fn set_paused(conn: &mut PgConnection, queue: Queue, paused: bool) -> Result<()> {
    sqlx::query!(
        "update queues set paused = $2, changed_at = clock_timestamp() where name = $1 and paused <> $2",
        queue as Queue,
        paused,
    )
    .execute(conn)
    .await?;
    Ok(())
}
