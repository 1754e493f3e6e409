//! Deletes old rows of the queue: jobs that are done or discarded, and workers that are gone. Dead jobs stay until a
//! person decides about them.
//!
//! Conditions compare with `now()` and not with `clock_timestamp()`: an index can only be searched for a value that
//! does not change during the statement. And the ids are an array, since with a join Postgres reads every job.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::heartbeat::GONE_SHOWN;
use crate::error::Result;
use crate::values::JobId;

/// A done job also prevents that a slow clock of another worker writes the same tick again.
pub const DONE_KEPT: Duration = Duration::from_hours(1);
/// A person discarded these jobs, and somebody may ask why.
pub const DISCARDED_KEPT: Duration = Duration::from_hours(30 * 24);

/// Deletes jobs that were done longer ago than this.
pub async fn remove_done(conn: &mut PgConnection, kept: Duration, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "delete from jobs where id = any(array(
             select id from jobs
              where state = 'done' and finished_at < now() - make_interval(secs => $1)
              order by finished_at limit $2
                for update skip locked))",
        kept.as_secs_f64(),
        limit,
    )
    .execute(conn)
    .await?;
    Ok(removed.rows_affected())
}

/// Deletes those of these jobs that are discarded.
pub async fn remove_discarded(conn: &mut PgConnection, ids: &[JobId]) -> Result<u64> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let removed = sqlx::query!(
        "delete from jobs where id = any(array(
             select id from jobs where id = any($1) and state = 'discarded' for update skip locked))",
        &ids,
    )
    .execute(conn)
    .await?;
    Ok(removed.rows_affected())
}

/// Deletes workers that are gone for a while.
pub async fn remove_silent_workers(conn: &mut PgConnection, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "delete from workers where id = any(array(
             select id from workers where heartbeat_at < now() - make_interval(secs => $1) limit $2
                for update skip locked))",
        GONE_SHOWN.as_secs_f64(),
        limit,
    )
    .execute(conn)
    .await?;
    Ok(removed.rows_affected())
}
