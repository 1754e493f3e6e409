//! Pauses queues. A paused queue stays in Redis and in Postgres; workers leave it out of what they take and claim.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Queue;
use crate::error::Result;
use crate::principal::By;

/// Why a queue is paused, and until when.
#[derive(Debug, Clone, Copy, Default)]
pub struct Why<'a> {
    pub by: Option<&'a By>,
    pub reason: Option<&'a str>,
    /// `None`: until somebody resumes it.
    pub resume_at: Option<DateTime<Utc>>,
}

/// Pauses a queue, or tells another reason or time of one that is paused. Tells whether that changed anything.
pub async fn pause(conn: &mut PgConnection, queue: Queue, why: Why<'_>) -> Result<bool> {
    let changed = sqlx::query!(
        "update queues
            set paused = true, paused_reason = $2, paused_by = $3, paused_by_name = $4, resume_at = $5,
                changed_at = case when paused then changed_at else t.now end
           from (select statement_timestamp() as now) t
          where name = $1 and (not paused or (paused_reason, resume_at) is distinct from ($2, $5))",
        queue as Queue,
        why.reason,
        why.by.map(|by| by.id),
        why.by.map(|by| by.name.as_str()),
        why.resume_at,
    )
    .execute(conn)
    .await?;
    Ok(changed.rows_affected() > 0)
}

/// Resumes a queue. Tells whether it was paused.
pub async fn resume(conn: &mut PgConnection, queue: Queue) -> Result<bool> {
    let changed = sqlx::query!(
        "update queues
            set paused = false, paused_reason = null, paused_by = null, paused_by_name = null, resume_at = null,
                changed_at = statement_timestamp()
          where name = $1 and paused",
        queue as Queue,
    )
    .execute(conn)
    .await?;
    Ok(changed.rows_affected() > 0)
}

/// Resumes the queues whose time has come.
pub(super) async fn resume_due(conn: &mut PgConnection) -> Result<()> {
    sqlx::query!(
        "update queues
            set paused = false, paused_reason = null, paused_by = null, paused_by_name = null, resume_at = null,
                changed_at = statement_timestamp()
          where paused and resume_at <= statement_timestamp()",
    )
    .execute(conn)
    .await?;
    Ok(())
}
