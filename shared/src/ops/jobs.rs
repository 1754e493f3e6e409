//! What staff see of jobs, and how they retry or discard dead ones. The order's timeline gets an event for both.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::invalid::Invalid;
use crate::orders::event::Event;
use crate::orders::jobs::ProcessPayment;
use crate::orders::{note, pay};
use crate::page::{IdRange, List, Page, Position};
use crate::platform::db::CustomPlan;
use crate::principal::Principal;
use crate::queue::dead::{self, DeadJobs};
use crate::queue::{Job, JobState, Queue, Ring, prune};
use crate::values::whole_number::WholeNumber;
use crate::values::{JobId, OrderId};

/// A filter of jobs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobFilter {
    pub state: Option<JobState>,
    #[param(example = "process_payment", pattern = r"^[^\u0000]*$")]
    pub kind: Option<String>,
    pub queue: Option<Queue>,
    #[param(value_type = Option<Uuid>)]
    pub order_id: Option<OrderId>,
    /// The fingerprint of the last error: jobs that failed for the same reason share it
    #[param(pattern = r"^[^\u0000]*$")]
    pub error: Option<String>,
    /// Written at this time or later
    pub from: Option<DateTime<Utc>>,
    /// Written before this time
    pub to: Option<DateTime<Utc>>,
    /// That this worker runs, or ran last
    pub worker_id: Option<Uuid>,
    /// That this request caused
    #[param(pattern = r"^[^\u0000]*$")]
    pub request_id: Option<String>,
    /// That this action on many took
    pub bulk_id: Option<Uuid>,
}

/// Jobs that one page looks at where no index tells which of them fit: some 50 ms.
const LOOKED_AT: i64 = 20_000;

impl JobFilter {
    /// Does a job have to be looked at, because no index tells? One would cost every job that is written.
    fn needs_a_look(&self) -> bool {
        self.kind.is_some() || self.worker_id.is_some() || self.request_id.is_some()
    }
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
    /// How many attempts it had
    #[schema(example = 8)]
    pub attempt: i32,
    /// The last attempt: if it fails too, the job is dead
    #[schema(example = 8)]
    pub max_attempt: i32,
    /// When it is or was due
    pub run_at: DateTime<Utc>,
    pub order_id: Option<OrderId>,
    /// The request that caused it
    pub request_id: Option<String>,
    /// The error of the last failed attempt
    pub error: Option<String>,
    /// Filter and retry by this
    pub error_fingerprint: Option<String>,
    /// The worker that runs it, or ran it last
    pub worker_id: Option<Uuid>,
    pub lease_until: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// A job with its payload and its failed attempts.
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
    /// Its payload: ids only
    #[schema(value_type = Object)]
    pub args: Value,
    /// All failed attempts, in order
    pub attempts: Vec<FailedAttempt>,
}

/// An attempt that failed: when, where, for how long, and why.
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

/// The dead jobs to retry, the oldest first.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "process_payment", "error": "9f2c66aa01d3", "limit": 100}))]
pub struct RetryJobs {
    #[schema(pattern = r"^[^\u0000]*$")]
    pub kind: Option<String>,
    pub queue: Option<Queue>,
    /// The fingerprint of their last error
    #[schema(pattern = r"^[^\u0000]*$")]
    pub error: Option<String>,
    /// How many at most; required, so that an empty body does not retry everything
    #[schema(value_type = i64, minimum = 1, maximum = 10_000)]
    pub limit: RetryLimit,
}

/// How many jobs one request retries at most: it holds their orders locked.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "WholeNumber")]
pub struct RetryLimit(i64);

impl TryFrom<WholeNumber> for RetryLimit {
    type Error = Invalid;

    fn try_from(WholeNumber(limit): WholeNumber) -> Result<Self, Invalid> {
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

/// Jobs, the newest first. Done jobs are deleted after an hour; the timelines of their orders stay.
///
/// If the jobs that a page looks at are used up, it ends there, and the next page goes on.
pub async fn list(conn: &mut PgConnection, filter: JobFilter, page: Page) -> Result<List<JobView>> {
    let last = if filter.needs_a_look() { last_to_look_at(conn, &filter, &page).await? } else { None };
    let range = IdRange::between(filter.from, filter.to);
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
              and ($8::uuid is null or id >= $8) and ($9::timestamptz is null or created_at >= $9)
              and ($10::uuid is null or id < $10) and ($11::timestamptz is null or created_at < $11)
              and ($12::uuid is null or worker = $12)
              and ($13::text is null or request_id = $13)
              and ($14::uuid is null or bulk_id = $14)
              and ($15::uuid is null or id >= $15)
            order by id desc limit $7"#,
        filter.state as Option<JobState>,
        filter.kind,
        filter.queue as Option<Queue>,
        filter.order_id.map(|id| id.0),
        filter.error,
        page.after_id(),
        page.fetch(),
        range.low,
        filter.from,
        range.high,
        filter.to,
        filter.worker_id,
        filter.request_id,
        filter.bulk_id,
        last,
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    let list = page.list(rows, |job| Position::from(job.id.0));
    match last {
        Some(last) if list.next_cursor.is_none() => Ok(page.ending_at(list.data, Position::from(last))),
        _ => Ok(list),
    }
}

/// None: there are fewer jobs than a page may look at.
async fn last_to_look_at(conn: &mut PgConnection, filter: &JobFilter, page: &Page) -> Result<Option<Uuid>> {
    let range = IdRange::between(filter.from, filter.to);
    let last = sqlx::query_scalar!(
        "select id from jobs
          where ($1::text is null or state = $1)
            and ($2::uuid is null or order_id = $2)
            and ($3::text is null or error_fingerprint = $3)
            and ($4::uuid is null or bulk_id = $4)
            and ($5::uuid is null or id < $5)
            and ($6::uuid is null or id >= $6)
            and ($7::uuid is null or id < $7)
          order by id desc offset $8 limit 1",
        filter.state as Option<JobState>,
        filter.order_id.map(|id| id.0),
        filter.error,
        filter.bulk_id,
        page.after_id(),
        range.low,
        range.high,
        LOOKED_AT - 1,
    );
    Ok(last.fetch_optional(CustomPlan(conn)).await?)
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

/// Retries a dead job, at once and with a new budget of attempts. Its failed attempts stay on record.
pub async fn retry(
    conn: &mut PgConnection,
    principal: &Principal,
    id: JobId,
    max_attempts: i32,
) -> Result<(JobDetail, Ring)> {
    let Some(job) = dead::retry(conn, id, max_attempts).await? else { return Err(not_dead(conn, id).await?) };
    if let Some(order_id) = job.subject {
        let event = Event::JobRetried { job_id: id, kind: job.kind.clone() };
        note::note(conn, principal, &[(OrderId(order_id), event)]).await?;
    }
    actions::record(conn, principal, Action::new("job.retried", "job", id).data(json!({ "kind": job.kind }))).await?;
    Ok((get(conn, id).await?, job.ring))
}

/// Gives a dead job up for good. Its order stays with staff until somebody moves it. Without a payment job nobody needs
/// the order's payment token any more, so it is erased.
pub async fn discard(conn: &mut PgConnection, principal: &Principal, id: JobId) -> Result<JobDetail> {
    let Some(job) = dead::discard(conn, id).await? else { return Err(not_dead(conn, id).await?) };
    if let Some(order_id) = job.subject {
        let event = Event::JobDiscarded { job_id: id, kind: job.kind.clone() };
        note::note(conn, principal, &[(OrderId(order_id), event)]).await?;
        if job.kind == ProcessPayment::KIND {
            pay::erase_token(conn, OrderId(order_id)).await?;
        }
    }
    actions::record(conn, principal, Action::new("job.discarded", "job", id).data(json!({ "kind": job.kind }))).await?;
    get(conn, id).await
}

/// Retries many dead jobs, the oldest first. It skips jobs that another request is deciding about.
pub async fn retry_many(
    conn: &mut PgConnection,
    principal: &Principal,
    which: &RetryJobs,
    max_attempts: i32,
) -> Result<Vec<Ring>> {
    let chosen =
        DeadJobs { kind: which.kind.as_deref(), queue: which.queue, error_fingerprint: which.error.as_deref() };
    let jobs = dead::retry_many(conn, chosen, which.limit.0, max_attempts).await?;
    let notes: Vec<_> = jobs
        .iter()
        .filter_map(|job| {
            Some((OrderId(job.subject?), Event::JobRetried { job_id: job.ring.id, kind: job.kind.clone() }))
        })
        .collect();
    note::note(conn, principal, &notes).await?;
    if !jobs.is_empty() {
        let RetryJobs { kind, queue, error, limit } = which;
        let data = json!({ "kind": kind, "queue": queue, "error": error, "limit": limit.0, "retried": jobs.len() });
        actions::record(conn, principal, Action::new("jobs.retried", "job", "many").data(data)).await?;
    }
    Ok(jobs.into_iter().map(|job| job.ring).collect())
}

/// Deletes discarded jobs that are too old. The job of an open order stays: it tells staff, and the audit, what the order
/// waits for.
pub async fn remove_discarded(conn: &mut PgConnection, limit: i64) -> Result<u64> {
    let old = sqlx::query_scalar!(
        r#"select id as "id: JobId" from jobs
            where state = 'discarded' and finished_at < now() - make_interval(secs => $1)
              and not exists (select from orders where orders.id = jobs.order_id
                                 and orders.status not in ('delivered', 'cancelled'))
            order by finished_at limit $2"#,
        prune::DISCARDED_KEPT.as_secs_f64(),
        limit,
    )
    .fetch_all(&mut *conn)
    .await?;
    prune::remove_discarded(conn, &old).await
}

async fn not_dead(conn: &mut PgConnection, id: JobId) -> Result<Error> {
    let state = sqlx::query_scalar!("select state from jobs where id = $1", id.0).fetch_optional(conn).await?;
    Ok(state.map_or(Error::NotFound(Resource::Job), |state| Error::JobNotDead { state }))
}
