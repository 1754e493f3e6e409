//! What staff see of the queues, and how they pause one.

use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::principal::Principal;
use crate::queue::{Queue, pause};

/// The state of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueueView {
    pub name: Queue,
    /// Jobs that are due and wait for a worker
    #[schema(example = 3)]
    pub ready: i64,
    /// Jobs that are due later: delayed ones, and failed ones before their next attempt
    pub scheduled: i64,
    pub running: i64,
    /// Jobs that were given up: retry them or discard them
    pub dead: i64,
    /// For how long the oldest ready job has been due; 0 without one
    pub oldest_ready_seconds: i64,
    /// While it is paused, no worker takes jobs from it; running jobs finish
    pub paused: bool,
}

/// All queues, in the order of their priority.
pub async fn list(conn: &mut PgConnection) -> Result<Vec<QueueView>> {
    // `now()` and not `clock_timestamp()`: an index can only be searched for a value that does not change meanwhile.
    Ok(sqlx::query_as!(
        QueueView,
        r#"select q.name as "name: Queue", q.paused,
                  (select count(*) from jobs where queue = q.name and state = 'ready' and run_at <= now()) as "ready!",
                  (select count(*) from jobs where queue = q.name and state = 'ready' and run_at > now()) as "scheduled!",
                  (select count(*) from jobs where queue = q.name and state = 'running') as "running!",
                  (select count(*) from jobs where queue = q.name and state = 'dead') as "dead!",
                  (select coalesce(greatest(extract(epoch from now() - min(run_at)), 0), 0)::bigint
                     from jobs where queue = q.name and state = 'ready') as "oldest_ready_seconds!"
             from queues q order by q.name"#
    )
    .fetch_all(conn)
    .await?)
}

/// Pauses or resumes a queue. Repeating it changes nothing.
pub async fn set_paused(conn: &mut PgConnection, principal: &Principal, name: &str, paused: bool) -> Result<QueueView> {
    let queue: Queue = name.parse().map_err(|_| Error::NotFound(Resource::Queue))?;
    if pause::set_paused(conn, queue, paused).await? {
        let done = if paused { "queue.paused" } else { "queue.resumed" };
        actions::record(conn, principal, Action::new(done, "queue", name)).await?;
    }
    list(conn).await?.into_iter().find(|view| view.name == queue).ok_or(Error::NotFound(Resource::Queue))
}

/// The queues that are paused.
pub async fn paused(conn: &mut PgConnection) -> Result<Vec<Queue>> {
    Ok(sqlx::query_scalar!(r#"select name as "name: Queue" from queues where paused order by name"#)
        .fetch_all(conn)
        .await?)
}
