//! The job queue in Postgres. Each job is a row of `jobs`, written in the transaction of the change that it follows.
//! That row is the truth about the job. Redis (`doorbell`) only tells workers which jobs are ready.
//!
//! This module alone writes `jobs`, `job_attempts`, `queues` and `workers`. The one exception: placing a batch of
//! orders writes their payment jobs in its own statement (`orders::placing::statements`).
//!
//! The files in the order of a job's life: `enqueue` (here), `doorbell`, `claim`, then `settle`. `maintain` reclaims
//! jobs of lost workers, `dead` retries or discards jobs that were given up, `prune` deletes old rows.
//!
//! The queue knows no order and nothing else of the domain: job payloads are declared beside what they do.

pub mod claim;
pub mod dead;
pub mod depths;
pub mod doorbell;
pub mod heartbeat;
pub mod maintain;
pub mod pause;
pub mod prune;
pub mod retry;
pub mod settle;

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::Result;
use crate::values::JobId;

/// The three queues, in the order of their priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type, Serialize, Deserialize, ToSchema)]
#[sqlx(type_name = "queue", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Queue {
    High,
    Default,
    Low,
}

impl Queue {
    pub const ALL: [Self; 3] = [Self::High, Self::Default, Self::Low];

    pub fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Default => "default",
            Self::Low => "low",
        }
    }
}

impl FromStr for Queue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|queue| queue.name() == text)
            .ok_or_else(|| format!("`{text}` is not a queue: use high, default or low"))
    }
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

/// The payload of a job: ids, not data. The handler reads the current data when it runs.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    const KIND: &'static str;
    /// Raise it when the payload changes its meaning. A worker claims only the versions that it knows.
    const VERSION: i16 = 1;
    const QUEUE: Queue;

    /// The id of what this job is about, to find its jobs again. The column is called `order_id`: so far every
    /// subject is an order.
    fn subject(&self) -> Option<Uuid> {
        None
    }

    /// At most one job with this key is written.
    fn unique_key(&self) -> Option<String> {
        None
    }
}

/// Waits for so long and changes nothing. Benchmarks and drills run it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noop {
    #[serde(default)]
    pub wait_ms: u64,
}

impl Job for Noop {
    const KIND: &'static str = "noop";
    const QUEUE: Queue = Queue::Default;
}

/// The request that caused a job. The worker writes it into its log lines and traces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    pub request_id: Option<String>,
    pub trace_parent: Option<String>,
}

/// When a job first runs, and how many attempts it has.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Counted from the moment of writing.
    pub delay: Duration,
    pub max_attempts: i32,
    pub origin: Origin,
}

/// A job for which the doorbell is rung after its transaction has committed. If nobody rings, because the process
/// died in between, the maintenance rings a second later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "ring it after the commit"]
pub struct Ring {
    pub queue: Queue,
    pub id: JobId,
    pub run_at: DateTime<Utc>,
    /// The kind, if the job has just been written: the doorbell counts it.
    pub written: Option<&'static str>,
}

impl Ring {
    /// For a job that has just been written.
    pub fn first<J: Job>(id: JobId, run_at: DateTime<Utc>) -> Self {
        Self { queue: J::QUEUE, id, run_at, written: Some(J::KIND) }
    }

    /// For a job that existed before.
    pub fn again(queue: Queue, id: JobId, run_at: DateTime<Utc>) -> Self {
        Self { queue, id, run_at, written: None }
    }
}

/// Writes a job, in the transaction of the change that it follows. None: a job with its unique key exists already.
pub async fn enqueue<J: Job>(conn: &mut PgConnection, job: &J, plan: &Plan) -> Result<Option<Ring>> {
    Ok(insert(conn, &[(job, plan)], None).await?.first().map(JobRow::ring::<J>))
}

/// Writes many jobs in one statement.
pub async fn enqueue_many<J: Job>(conn: &mut PgConnection, jobs: &[(J, &Plan)]) -> Result<Vec<Ring>> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let jobs: Vec<_> = jobs.iter().map(|(job, plan)| (job, *plan)).collect();
    Ok(insert(conn, &jobs, None).await?.iter().map(JobRow::ring::<J>).collect())
}

/// For a worker that is given with the length of its leases, the jobs are its own at once.
pub(in crate::queue) async fn insert<J: Job>(
    conn: &mut PgConnection,
    jobs: &[(&J, &Plan)],
    own: Option<(WorkerId, Duration)>,
) -> Result<Vec<JobRow>> {
    let (mut args, mut delays, mut max_attempts, mut subjects) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut unique_keys, mut request_ids, mut trace_parents) = (Vec::new(), Vec::new(), Vec::new());
    for (job, plan) in jobs {
        args.push(serde_json::to_value(job).map_err(crate::error::Error::internal)?);
        delays.push(plan.delay.as_secs_f64());
        max_attempts.push(plan.max_attempts);
        subjects.push(job.subject());
        unique_keys.push(job.unique_key());
        request_ids.push(plan.origin.request_id.as_deref());
        trace_parents.push(plan.origin.trace_parent.as_deref());
    }
    let rows = sqlx::query_as!(
        JobRow,
        r#"insert into jobs (queue, kind, version, args, run_at, max_attempt, order_id, unique_key, request_id, trace_parent,
                             state, attempt, worker, started_at, lease_until)
           select $1, $2, $3, args, clock_timestamp() + make_interval(secs => delay), max_attempt, order_id, unique_key,
                  request_id, trace_parent,
                  case when $11::uuid is null then 'ready' else 'running' end, case when $11::uuid is null then 0 else 1 end,
                  $11, case when $11::uuid is not null then clock_timestamp() end, clock_timestamp() + make_interval(secs => $12)
             from unnest($4::jsonb[], $5::float8[], $6::int[], $7::uuid[], $8::text[], $9::text[], $10::text[])
                  job (args, delay, max_attempt, order_id, unique_key, request_id, trace_parent)
           on conflict (unique_key) where unique_key is not null do nothing
           returning id, attempt, max_attempt, queue as "queue: Queue", kind, version, args, order_id as subject, request_id,
                     trace_parent, run_at"#,
        J::QUEUE as Queue,
        J::KIND,
        J::VERSION,
        &args,
        &delays,
        &max_attempts,
        &subjects as &[Option<Uuid>],
        &unique_keys as &[Option<String>],
        &request_ids as &[Option<&str>],
        &trace_parents as &[Option<&str>],
        own.map(|(worker, _)| worker.0),
        own.map(|(_, lease)| lease.as_secs_f64()),
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Does a job of this kind run for the subject, or wait for its next attempt?
pub(crate) async fn is_live<J: Job>(conn: &mut PgConnection, subject: Uuid) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from jobs where order_id = $1 and kind = $2 and state in ('ready', 'running')) as "live!""#,
        subject,
        J::KIND,
    )
    .fetch_one(conn)
    .await?)
}

/// The id of a worker process. Each start has a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WorkerId(pub Uuid);

/// A job that this process has claimed. The number of the attempt is the fence: once another attempt has begun, this
/// one cannot commit any more.
#[derive(Debug, Clone)]
pub struct LeasedJob {
    pub id: JobId,
    pub attempt: i32,
    pub max_attempt: i32,
    pub queue: Queue,
    pub kind: String,
    pub version: i16,
    pub args: Value,
    pub subject: Option<Uuid>,
    pub origin: Origin,
    /// When it was due.
    pub run_at: DateTime<Utc>,
    pub lease: Arc<Lease>,
}

impl LeasedJob {
    /// The plan for a job that follows from this one: it belongs to the same request.
    pub fn plan(&self, delay: Duration, max_attempts: i32) -> Plan {
        Plan { delay, max_attempts, origin: self.origin.clone() }
    }

    pub fn decode<J: Job>(&self) -> Result<J, serde_json::Error> {
        J::deserialize(&self.args)
    }
}

/// The row of a job that was just written or claimed.
pub(in crate::queue) struct JobRow {
    id: Uuid,
    attempt: i32,
    max_attempt: i32,
    queue: Queue,
    kind: String,
    version: i16,
    args: Value,
    subject: Option<Uuid>,
    request_id: Option<String>,
    trace_parent: Option<String>,
    run_at: DateTime<Utc>,
}

impl JobRow {
    fn ring<J: Job>(&self) -> Ring {
        Ring::first::<J>(JobId(self.id), self.run_at)
    }

    /// These rows as jobs of this process, whose leases begin with the statement.
    fn leased(rows: Vec<Self>, asked: Instant, length: Duration) -> Vec<LeasedJob> {
        rows.into_iter()
            .map(|row| LeasedJob {
                id: JobId(row.id),
                attempt: row.attempt,
                max_attempt: row.max_attempt,
                queue: row.queue,
                kind: row.kind,
                version: row.version,
                args: row.args,
                subject: row.subject,
                origin: Origin { request_id: row.request_id, trace_parent: row.trace_parent },
                run_at: row.run_at,
                lease: Arc::new(Lease::new(asked, length)),
            })
            .collect()
    }
}

/// The lease of a claimed job, measured by this process's own clock.
#[derive(Debug)]
pub struct Lease {
    started: Instant,
    length: Duration,
    /// Milliseconds from `started` to when the last successful claim or renewal was sent.
    confirmed_ms: AtomicU64,
}

impl Lease {
    /// `asked` is when the claim was sent. The lease cannot have begun earlier.
    pub fn new(asked: Instant, length: Duration) -> Self {
        Self { started: asked, length, confirmed_ms: AtomicU64::new(0) }
    }

    pub fn confirm(&self, asked: Instant) {
        let since = asked.saturating_duration_since(self.started).as_millis();
        self.confirmed_ms.fetch_max(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// May the handler still start an external call? Not when the last successful renewal is two thirds of the lease ago:
    /// the call could outlive the lease.
    pub fn allows_calls(&self) -> bool {
        let confirmed = Duration::from_millis(self.confirmed_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(confirmed) < self.length * 2 / 3
    }
}
