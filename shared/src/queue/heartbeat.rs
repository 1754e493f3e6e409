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

/// Will a worker come to the jobs of a queue?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attendance {
    Attended,
    /// Its workers are silent. They may be gone, or the database was away and they could not send a heartbeat.
    Unknown,
    /// It has no workers, or staff have paused it.
    Unattended,
}

/// A silent worker is gone if it still is silent `LIVE_WITHIN` after somebody first missed it: the database was there both
/// times. The caller's transaction writes down when that was.
pub async fn attendance(conn: &mut PgConnection, queue: Queue) -> Result<Attendance> {
    let workers = sqlx::query!(
        r#"with silent as (
               select id from workers
                where gone_at is null and heartbeat_at <= now() - make_interval(secs => $2)
                  and (missed_at is null or missed_at < heartbeat_at)
                  for no key update skip locked),
           missed as (update workers w set missed_at = statement_timestamp() from silent where w.id = silent.id)
           select coalesce(bool_or(w.heartbeat_at > now() - make_interval(secs => $2)), false) as "heard!",
                  coalesce(bool_or(w.missed_at is null or w.missed_at < w.heartbeat_at
                                   or w.missed_at > now() - make_interval(secs => $2)), false) as "may_be_back!"
             from workers w join queues q on q.name = $1 and not q.paused
            where w.gone_at is null and $1 = any(w.queues)"#,
        queue as Queue,
        LIVE_WITHIN.as_secs_f64(),
    )
    .fetch_one(conn)
    .await?;
    Ok(match workers {
        row if row.heard => Attendance::Attended,
        row if row.may_be_back => Attendance::Unknown,
        _ => Attendance::Unattended,
    })
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
