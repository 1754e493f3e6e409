//! Which workers live. A worker says so each second; one that falls silent is soon forgotten.

use sqlx::PgConnection;

use super::claim::Claimer;
use super::{Queue, WorkerId};
use crate::error::{Error, Result};

/// Tells that a worker lives and what it can do; answers which queues are paused.
pub async fn beat(conn: &mut PgConnection, claimer: &Claimer, queues: &[Queue], running: usize) -> Result<Vec<Queue>> {
    let paused = sqlx::query_scalar!(
        r#"with beat as (
               insert into workers (id, host, pid, version, queues, kinds, running) values ($1, $2, $3, $4, $5, $6, $7)
               on conflict (id) do update set running = excluded.running, heartbeat_at = clock_timestamp())
           select name as "name: Queue" from queues where paused"#,
        claimer.worker.0,
        host(),
        i32::try_from(std::process::id()).map_err(Error::internal)?,
        env!("CARGO_PKG_VERSION"),
        queues as &[Queue],
        &claimer.kinds,
        i32::try_from(running).map_err(Error::internal)?,
    )
    .fetch_all(conn)
    .await?;
    Ok(paused)
}

/// A worker that stops says so.
pub async fn leave(conn: &mut PgConnection, worker: WorkerId) -> Result<()> {
    sqlx::query!("delete from workers where id = $1", worker.0).execute(conn).await?;
    Ok(())
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}
