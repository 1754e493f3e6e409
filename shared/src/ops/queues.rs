//! What staff see of the queues, and how they pause one.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::principal::{By, Principal};
use crate::queue::Queue;
use crate::queue::pause::{self, Why};
use crate::values::Note;

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
    /// Why it is paused, by whom and since when; null while it is not
    pub pause: Option<PauseView>,
}

/// A pause of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "reason": "the carrier is down", "by": {"id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d01", "name": "Sam Staff"},
    "since": "2026-11-21T08:15:00Z", "resume_at": "2026-11-21T09:15:00Z"
}))]
pub struct PauseView {
    pub reason: Option<String>,
    pub by: Option<By>,
    pub since: DateTime<Utc>,
    /// It resumes by itself at this time
    pub resume_at: Option<DateTime<Utc>>,
}

/// Why a queue is to be paused, and for how long.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reason": "the carrier is down", "resume_at": "2026-11-21T09:15:00Z" }))]
pub struct PauseQueue {
    pub reason: Option<Note>,
    /// It resumes by itself at this time; without, until somebody resumes it
    pub resume_at: Option<DateTime<Utc>>,
}

/// All queues, in the order of their priority.
pub async fn list(conn: &mut PgConnection) -> Result<Vec<QueueView>> {
    // `now()` and not `clock_timestamp()`: an index can only be searched for a value that does not change meanwhile.
    let rows = sqlx::query!(
        r#"select q.name as "name: Queue", q.paused, q.paused_reason, q.paused_by, q.paused_by_name, q.changed_at, q.resume_at,
                  (select count(*) from jobs where queue = q.name and state = 'ready' and run_at <= now()) as "ready!",
                  (select count(*) from jobs where queue = q.name and state = 'ready' and run_at > now()) as "scheduled!",
                  (select count(*) from jobs where queue = q.name and state = 'running') as "running!",
                  (select count(*) from jobs where queue = q.name and state = 'dead') as "dead!",
                  (select coalesce(greatest(extract(epoch from now() - min(run_at)), 0), 0)::bigint
                     from jobs where queue = q.name and state = 'ready') as "oldest_ready_seconds!"
             from queues q order by q.name"#
    )
    .fetch_all(conn)
    .await?;
    let views = rows.into_iter().map(|row| QueueView {
        name: row.name,
        ready: row.ready,
        scheduled: row.scheduled,
        running: row.running,
        dead: row.dead,
        oldest_ready_seconds: row.oldest_ready_seconds,
        paused: row.paused,
        pause: row.paused.then_some(PauseView {
            reason: row.paused_reason,
            by: row.paused_by.zip(row.paused_by_name).map(|(id, name)| By { id, name }),
            since: row.changed_at,
            resume_at: row.resume_at,
        }),
    });
    Ok(views.collect())
}

/// Pauses a queue. Repeating it changes nothing; another reason or time replaces the first.
pub async fn pause(
    conn: &mut PgConnection,
    principal: &Principal,
    name: &str,
    asked: &PauseQueue,
) -> Result<QueueView> {
    let queue: Queue = name.parse().map_err(|_| Error::NotFound(Resource::Queue))?;
    if asked.resume_at.is_some_and(|at| at <= Utc::now()) {
        return Err(Error::field("resume_at", "invalid_time", "it must lie in the future"));
    }
    let (by, reason) = (principal.by(), asked.reason.as_ref().map(Note::as_str));
    if pause::pause(conn, queue, Why { by: by.as_ref(), reason, resume_at: asked.resume_at }).await? {
        let data = asked.resume_at.map_or_else(|| json!({}), |at| json!({ "resume_at": at }));
        actions::record(conn, principal, Action::new("queue.paused", "queue", name).reason(reason).data(data)).await?;
    }
    view(conn, queue).await
}

/// Resumes a queue. Repeating it changes nothing.
pub async fn resume(conn: &mut PgConnection, principal: &Principal, name: &str) -> Result<QueueView> {
    let queue: Queue = name.parse().map_err(|_| Error::NotFound(Resource::Queue))?;
    if pause::resume(conn, queue).await? {
        actions::record(conn, principal, Action::new("queue.resumed", "queue", name)).await?;
    }
    view(conn, queue).await
}

async fn view(conn: &mut PgConnection, queue: Queue) -> Result<QueueView> {
    list(conn).await?.into_iter().find(|view| view.name == queue).ok_or(Error::NotFound(Resource::Queue))
}

/// A queue that is paused, for everybody to see.
pub struct PausedQueue {
    pub name: Queue,
    pub reason: Option<String>,
    pub by: Option<String>,
    pub since: DateTime<Utc>,
    pub resume_at: Option<DateTime<Utc>>,
}

/// The queues that are paused. It counts nothing.
pub async fn paused(conn: &mut PgConnection) -> Result<Vec<PausedQueue>> {
    Ok(sqlx::query_as!(
        PausedQueue,
        r#"select name as "name: Queue", paused_reason as reason, paused_by_name as by, changed_at as since, resume_at
             from queues where paused order by name"#
    )
    .fetch_all(conn)
    .await?)
}
