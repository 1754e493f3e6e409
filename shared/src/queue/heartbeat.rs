//! Heartbeats of workers: each worker writes one every second, and learns from it which queues are paused.

use std::time::Duration;

use sqlx::PgConnection;

use super::claim::Claimer;
use super::{Queue, WorkerId};
use crate::error::{Error, Result};

/// Staff see a worker as alive if its last heartbeat is younger than this: ten heartbeats.
pub const LIVE_WITHIN: Duration = Duration::from_secs(10);
/// After this nobody waits for it to take the kinds of job that only it knows. It is
/// longer than `LIVE_WITHIN`: a process that was frozen for some seconds comes back by itself.
pub const FORGOTTEN_AFTER: Duration = Duration::from_mins(1);
/// A worker that is gone is shown for so long; then its row is deleted.
pub const GONE_SHOWN: Duration = Duration::from_mins(15);

/// Writes that this worker is alive and which kinds it knows. Returns the queues that are paused.
///
/// `warnings` says what is insecure about the worker's settings; staff see that in the API's `/health`.
pub async fn beat(
    conn: &mut PgConnection,
    claimer: &Claimer,
    queues: &[Queue],
    running: usize,
    concurrency: usize,
    warnings: &[String],
) -> Result<Vec<Queue>> {
    let paused = sqlx::query_scalar!(
        r#"with beat as (
               insert into workers (id, host, pid, version, queues, kinds, running, warnings, concurrency)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
               on conflict (id) do update set running = excluded.running, heartbeat_at = excluded.heartbeat_at,
                                              concurrency = excluded.concurrency)
           select name as "name: Queue" from queues where paused"#,
        claimer.worker.0,
        host(),
        i32::try_from(std::process::id()).map_err(Error::internal)?,
        env!("CARGO_PKG_VERSION"),
        queues as &[Queue],
        &claimer.kinds,
        i32::try_from(running).map_err(Error::internal)?,
        warnings,
        i32::try_from(concurrency).map_err(Error::internal)?,
    )
    .fetch_all(conn)
    .await?;
    Ok(paused)
}

/// What is insecure about the settings of the workers that are alive.
pub async fn warnings(conn: &mut PgConnection) -> Result<Vec<String>> {
    let warnings = sqlx::query_scalar!(
        r#"select distinct warning as "warning!" from workers cross join unnest(warnings) warning
            where gone_at is null and heartbeat_at > now() - make_interval(secs => $1) order by warning"#,
        LIVE_WITHIN.as_secs_f64(),
    )
    .fetch_all(conn)
    .await?;
    Ok(warnings)
}

/// Writes that a worker stops.
pub async fn leave(conn: &mut PgConnection, worker: WorkerId) -> Result<()> {
    sqlx::query!("update workers set gone_at = statement_timestamp(), running = 0 where id = $1", worker.0)
        .execute(conn)
        .await?;
    Ok(())
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}
