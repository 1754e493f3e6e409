//! What operators see of the queues and do to them: pause, look at what failed and why, try again, give up.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::error::{Error, Invalid, Resource, Result};
use crate::identity::principal::Principal;
use crate::orders::event::Event;
use crate::orders::note;
use crate::page::{List, Page, Position};
use crate::platform::db::CustomPlan;
use crate::queue::{Queue, Ring};
use crate::values::{JobId, OrderId};

/// A worker shows each second that it lives. One that was silent for longer is gone, or as good as.
const LIVE_WITHIN_SECONDS: f64 = 10.0;

/// How a queue stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueueView {
    pub name: Queue,
    /// Jobs that are due and wait for a worker
    #[schema(example = 3)]
    pub ready: i64,
    /// Jobs that are due later: delayed ones, and failed ones before their next attempt
    pub scheduled: i64,
    pub running: i64,
    /// Jobs that were given up: retry or discard them
    pub dead: i64,
    /// For how long the first of the ready ones has been due; 0 when none is
    pub oldest_ready_seconds: i64,
    /// While it is, no worker takes from it; what runs finishes
    pub paused: bool,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum JobState {
    /// Due, or due at `run_at`
    Ready,
    Running,
    Done,
    /// Given up: it waits for a person
    Dead,
    /// Given up by a person
    Discarded,
}

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobFilter {
    #[param(inline)]
    pub state: Option<JobState>,
    #[param(example = "process_payment")]
    pub kind: Option<String>,
    #[param(inline)]
    pub queue: Option<Queue>,
    #[param(value_type = Option<Uuid>)]
    pub order_id: Option<OrderId>,
    /// The fingerprint of the last error: the same mistake has the same one
    pub error: Option<String>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0197a2c4-5d10-7cc3-98a1-3f2b6c8d9e01", "kind": "process_payment", "version": 1, "queue": "high", "state": "dead",
    "attempt": 8, "max_attempt": 8, "run_at": "2026-11-21T08:15:00Z", "order_id": "0197a2c4-5cf0-7b12-8a3d-0c1d2e3f4a5b",
    "request_id": "r-17", "error": "the payment provider is not available", "error_fingerprint": "9f2c66aa01d3",
    "worker_id": "0197a2c0-11aa-7e4f-9b0c-5a6b7c8d9e0f", "lease_until": null, "created_at": "2026-11-21T08:11:00Z",
    "finished_at": "2026-11-21T08:15:01Z"
}))]
pub struct JobView {
    pub id: JobId,
    #[schema(example = "process_payment")]
    pub kind: String,
    pub version: i16,
    pub queue: Queue,
    pub state: JobState,
    /// How often it was tried
    #[schema(example = 8)]
    pub attempt: i32,
    /// When this one fails it is given up
    #[schema(example = 8)]
    pub max_attempt: i32,
    /// When it is or was due
    pub run_at: DateTime<Utc>,
    pub order_id: Option<OrderId>,
    /// The request that it comes from
    pub request_id: Option<String>,
    /// Why the last attempt that failed did
    pub error: Option<String>,
    /// Filter and retry by this
    pub error_fingerprint: Option<String>,
    /// Who runs it, or did so last
    pub worker_id: Option<Uuid>,
    pub lease_until: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// A job with its story.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0197a2c4-5d10-7cc3-98a1-3f2b6c8d9e01", "kind": "process_payment", "version": 1, "queue": "high", "state": "dead",
    "attempt": 8, "max_attempt": 8, "run_at": "2026-11-21T08:15:00Z", "order_id": "0197a2c4-5cf0-7b12-8a3d-0c1d2e3f4a5b",
    "request_id": "r-17", "error": "the payment provider is not available", "error_fingerprint": "9f2c66aa01d3",
    "worker_id": "0197a2c0-11aa-7e4f-9b0c-5a6b7c8d9e0f", "lease_until": null, "created_at": "2026-11-21T08:11:00Z",
    "finished_at": "2026-11-21T08:15:01Z",
    "args": {"order_id": "0197a2c4-5cf0-7b12-8a3d-0c1d2e3f4a5b"},
    "attempts": [{
        "attempt": 8, "worker_id": "0197a2c0-11aa-7e4f-9b0c-5a6b7c8d9e0f", "host": "mill-7",
        "started_at": "2026-11-21T08:15:00Z", "ended_at": "2026-11-21T08:15:01Z", "duration_ms": 1000,
        "outcome": "transient", "error": "the payment provider is not available", "error_fingerprint": "9f2c66aa01d3"
    }]
}))]
pub struct JobDetail {
    #[serde(flatten)]
    pub job: JobView,
    /// What it was asked: ids only
    #[schema(value_type = Object)]
    pub args: Value,
    /// Every attempt that failed, in order
    pub attempts: Vec<FailedAttempt>,
}

/// When, where, how long, and why.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FailedAttempt {
    pub attempt: i32,
    pub worker_id: Option<Uuid>,
    pub host: Option<String>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: DateTime<Utc>,
    pub duration_ms: Option<i64>,
    /// `transient`, `permanent` or `lease_lost`
    #[schema(example = "transient")]
    pub outcome: String,
    #[schema(example = "the payment provider is not available")]
    pub error: String,
    pub error_fingerprint: String,
}

/// Which dead jobs to try again, the oldest first.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "process_payment", "error": "9f2c66aa01d3", "limit": 100}))]
pub struct RetryJobs {
    pub kind: Option<String>,
    pub queue: Option<Queue>,
    /// The fingerprint of their last error
    pub error: Option<String>,
    /// At most so many
    #[schema(value_type = i64, minimum = 1, maximum = 10_000, default = 100)]
    #[serde(default)]
    pub limit: RetryLimit,
}

/// More at once would hold too many orders locked; ask again for the next ones.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
pub struct RetryLimit(i64);

impl Default for RetryLimit {
    fn default() -> Self {
        Self(100)
    }
}

impl TryFrom<i64> for RetryLimit {
    type Error = Invalid;

    fn try_from(limit: i64) -> Result<Self, Invalid> {
        match limit {
            1..=10_000 => Ok(Self(limit)),
            _ => Err(Invalid::new("invalid_limit", "it must be from 1 to 10000")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Retried {
    #[schema(example = 12)]
    pub retried: usize,
}

/// A worker that lives.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0197a2c0-11aa-7e4f-9b0c-5a6b7c8d9e0f", "host": "mill-7", "pid": 4711, "version": "0.1.0",
    "queues": ["high", "default", "low"], "since": "2026-11-21T08:00:00Z", "last_heartbeat": "2026-11-21T08:15:00Z",
    "running": 1, "running_jobs": [{
        "id": "0197a2c4-5d10-7cc3-98a1-3f2b6c8d9e01", "kind": "ship_order", "queue": "default", "attempt": 1,
        "order_id": "0197a2c4-5cf0-7b12-8a3d-0c1d2e3f4a5b", "started_at": "2026-11-21T08:14:59Z"
    }]
}))]
pub struct WorkerView {
    pub id: Uuid,
    #[schema(example = "mill-7")]
    pub host: String,
    pub pid: i32,
    #[schema(example = "0.1.0")]
    pub version: String,
    pub queues: Vec<Queue>,
    pub since: DateTime<Utc>,
    pub last_heartbeat: DateTime<Utc>,
    /// How many jobs it runs
    pub running: i64,
    pub running_jobs: Vec<RunningJob>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunningJob {
    pub id: JobId,
    pub kind: String,
    pub queue: Queue,
    pub attempt: i32,
    pub order_id: Option<OrderId>,
    pub started_at: Option<DateTime<Utc>>,
}

/// All queues, in the order in which workers take from them.
pub async fn queues(conn: &mut PgConnection) -> Result<Vec<QueueView>> {
    // `now()` and not the clock: only what stands still during a statement can bound an index.
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

/// Stops workers from taking from a queue, or lets them again. Repeating it changes nothing.
pub async fn set_paused(conn: &mut PgConnection, name: &str, paused: bool) -> Result<QueueView> {
    let queue: Queue = name.parse().map_err(|_| Error::NotFound(Resource::Queue))?;
    sqlx::query!(
        "update queues set paused = $2, changed_at = clock_timestamp() where name = $1 and paused <> $2",
        queue as Queue,
        paused,
    )
    .execute(&mut *conn)
    .await?;
    queues(conn).await?.into_iter().find(|view| view.name == queue).ok_or(Error::NotFound(Resource::Queue))
}

/// Jobs, newest first. Those that are done are removed after a while, and their orders' timelines stay.
pub async fn list(conn: &mut PgConnection, filter: JobFilter, page: Page) -> Result<List<JobView>> {
    let rows = sqlx::query_as!(
        JobView,
        r#"select id as "id: JobId", kind, version, queue as "queue: Queue", state as "state: JobState", attempt, max_attempt,
                  run_at, order_id as "order_id: OrderId", request_id, error, error_fingerprint, worker as worker_id,
                  lease_until, created_at, finished_at
             from jobs
            where ($1::text is null or state = $1)
              and ($2::text is null or kind = $2)
              and ($3::queue is null or queue = $3)
              and ($4::uuid is null or order_id = $4)
              and ($5::text is null or error_fingerprint = $5)
              and ($6::uuid is null or id < $6)
            order by id desc limit $7"#,
        filter.state as Option<JobState>,
        filter.kind,
        filter.queue as Option<Queue>,
        filter.order_id.map(|id| id.0),
        filter.error,
        page.after_id(),
        page.fetch(),
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    Ok(page.list(rows, |job| Position::from(job.id.0)))
}

/// One job, with every attempt that failed.
pub async fn get(conn: &mut PgConnection, id: JobId) -> Result<JobDetail> {
    let job = sqlx::query_as!(
        JobView,
        r#"select id as "id: JobId", kind, version, queue as "queue: Queue", state as "state: JobState", attempt, max_attempt,
                  run_at, order_id as "order_id: OrderId", request_id, error, error_fingerprint, worker as worker_id,
                  lease_until, created_at, finished_at
             from jobs where id = $1"#,
        id.0,
    )
    .fetch_optional(&mut *conn)
    .await?
    .ok_or(Error::NotFound(Resource::Job))?;
    let args = sqlx::query_scalar!("select args from jobs where id = $1", id.0).fetch_optional(&mut *conn).await?;
    let attempts = sqlx::query_as!(
        FailedAttempt,
        r#"select attempt, worker as worker_id, host, started_at, ended_at,
                  (extract(epoch from ended_at - started_at) * 1000)::bigint as duration_ms,
                  outcome, error, fingerprint as error_fingerprint
             from job_attempts where job_id = $1 order by attempt"#,
        id.0,
    )
    .fetch_all(conn)
    .await?;
    Ok(JobDetail { job, args: args.unwrap_or_default(), attempts })
}

/// Tries a dead job again, at once and with a fresh budget; what failed before stays on record.
pub async fn retry(
    conn: &mut PgConnection,
    principal: &Principal,
    id: JobId,
    max_attempts: i32,
) -> Result<(JobDetail, Ring)> {
    let row = sqlx::query!(
        r#"update jobs set state = 'ready', run_at = clock_timestamp(), max_attempt = attempt + $2, finished_at = null
            where id = $1 and state = 'dead'
        returning kind, queue as "queue: Queue", order_id as "order_id: OrderId", run_at"#,
        id.0,
        max_attempts,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Err(not_dead(conn, id).await?) };
    if let Some(order_id) = row.order_id {
        note::note(conn, principal, &[(order_id, Event::JobRetried { job_id: id, kind: row.kind })]).await?;
    }
    Ok((get(conn, id).await?, Ring::again(row.queue, id, row.run_at)))
}

/// Gives a dead job up for good. Its order stays with staff until somebody moves it.
pub async fn discard(conn: &mut PgConnection, principal: &Principal, id: JobId) -> Result<JobDetail> {
    let row = sqlx::query!(
        r#"update jobs set state = 'discarded', finished_at = clock_timestamp() where id = $1 and state = 'dead'
        returning kind, order_id as "order_id: OrderId""#,
        id.0,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Err(not_dead(conn, id).await?) };
    if let Some(order_id) = row.order_id {
        note::note(conn, principal, &[(order_id, Event::JobDiscarded { job_id: id, kind: row.kind })]).await?;
    }
    get(conn, id).await
}

/// Tries many dead jobs again, the oldest first. What somebody else is deciding about right now is left out.
pub async fn retry_many(
    conn: &mut PgConnection,
    principal: &Principal,
    which: &RetryJobs,
    max_attempts: i32,
) -> Result<Vec<Ring>> {
    let rows = sqlx::query!(
        r#"with chosen as materialized (
               select id from jobs
                where state = 'dead' and ($1::text is null or kind = $1) and ($2::queue is null or queue = $2)
                  and ($3::text is null or error_fingerprint = $3)
                order by id limit $4 for no key update skip locked)
           update jobs j
              set state = 'ready', run_at = clock_timestamp(), max_attempt = j.attempt + $5, finished_at = null
             from chosen where j.id = chosen.id
        returning j.id as "id: JobId", j.kind, j.queue as "queue: Queue", j.order_id as "order_id: OrderId", j.run_at"#,
        which.kind,
        which.queue as Option<Queue>,
        which.error,
        which.limit.0,
        max_attempts,
    )
    .fetch_all(CustomPlan(&mut *conn))
    .await?;
    let notes: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row.order_id?, Event::JobRetried { job_id: row.id, kind: row.kind.clone() })))
        .collect();
    note::note(conn, principal, &notes).await?;
    Ok(rows.into_iter().map(|row| Ring::again(row.queue, row.id, row.run_at)).collect())
}

/// The workers that live, longest first.
pub async fn workers(conn: &mut PgConnection) -> Result<Vec<WorkerView>> {
    let rows = sqlx::query!(
        r#"select w.id, w.host, w.pid, w.version, w.queues as "queues: Vec<Queue>", w.started_at, w.heartbeat_at,
                  j.jobs as "jobs: Json<Vec<RunningJob>>"
             from workers w
             left join (select worker, jsonb_agg(jsonb_build_object('id', id, 'kind', kind, 'queue', queue,
                                  'attempt', attempt, 'order_id', order_id, 'started_at', started_at) order by started_at) as jobs
                          from jobs where state = 'running' group by worker) j on j.worker = w.id
            where w.heartbeat_at > now() - make_interval(secs => $1)
            order by w.started_at, w.id"#,
        LIVE_WITHIN_SECONDS,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let running_jobs = row.jobs.map(|jobs| jobs.0).unwrap_or_default();
            WorkerView {
                id: row.id,
                host: row.host,
                pid: row.pid,
                version: row.version,
                queues: row.queues,
                since: row.started_at,
                last_heartbeat: row.heartbeat_at,
                running: i64::try_from(running_jobs.len()).expect("a worker runs a thousand jobs at most"),
                running_jobs,
            }
        })
        .collect())
}

pub async fn count_workers(conn: &mut PgConnection) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from workers where heartbeat_at > now() - make_interval(secs => $1)"#,
        LIVE_WITHIN_SECONDS,
    )
    .fetch_one(conn)
    .await?)
}

async fn not_dead(conn: &mut PgConnection, id: JobId) -> Result<Error> {
    let state = sqlx::query_scalar!("select state from jobs where id = $1", id.0).fetch_optional(conn).await?;
    Ok(state.map_or(Error::NotFound(Resource::Job), |state| Error::JobNotDead { state }))
}
