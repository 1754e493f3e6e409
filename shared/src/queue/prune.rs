//! What is over is forgotten after a while: an order's timeline has its story. What is dead stays.

// `now()` and not `clock_timestamp()`: an index can be searched for what does not change under way. And an
// array, since a join would look at every job.

use std::time::Duration;

use sqlx::PgConnection;

use crate::error::Result;

/// Also how long a tick of the clock is known to have run, for workers whose clocks differ.
pub const DONE_KEPT: Duration = Duration::from_hours(1);
/// A person gave these up, and may be asked why.
const DISCARDED_KEPT_SECONDS: f64 = 30.0 * 24.0 * 3600.0;
/// A worker shows each second that it is alive. One that was only asleep comes back by itself.
const SILENT_SECONDS: f64 = 60.0;

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

/// An order that is not over yet still needs its job: it tells staff, and the audit, what the order waits for.
pub async fn remove_discarded(conn: &mut PgConnection, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "delete from jobs where id = any(array(
             select id from jobs
              where state = 'discarded' and finished_at < now() - make_interval(secs => $1)
                and not exists (select from orders where orders.id = jobs.order_id
                                   and orders.status not in ('delivered', 'cancelled'))
              order by finished_at limit $2
                for update skip locked))",
        DISCARDED_KEPT_SECONDS,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(removed.rows_affected())
}

pub async fn remove_silent_workers(conn: &mut PgConnection, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "delete from workers where id = any(array(
             select id from workers where heartbeat_at < now() - make_interval(secs => $1) limit $2
                for update skip locked))",
        SILENT_SECONDS,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(removed.rows_affected())
}
