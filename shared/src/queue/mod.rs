//! The queue. Every job is a row, written in the transaction of the change it follows, and that row is the
//! truth about it; Redis is only the doorbell. This module alone writes `jobs`, `job_attempts`, `queues` and
//! `workers` (but for the payment jobs of a batch, which `orders::batch` writes in its one statement).
//!
//! The life of a job, file by file: `enqueue` here, `doorbell`, `claim`, then `settle` or, when its worker
//! is lost, `sweep`.

pub mod claim;
pub mod doorbell;
pub mod heartbeat;
pub mod maintain;
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
use crate::values::{JobId, OrderId};

/// Ordered as workers take them.
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
            .ok_or_else(|| format!("`{text}` is none of high, default, low"))
    }
}

/// Something that a worker does. It carries ids and reads the present when it runs.
pub trait Job: Serialize + DeserializeOwned + Send + Sync {
    const KIND: &'static str;
    /// Raised when the arguments change their meaning; a worker takes only versions it knows.
    const VERSION: i16 = 1;
    const QUEUE: Queue;

    fn order_id(&self) -> Option<OrderId> {
        None
    }

    /// At most one job for what this names.
    fn unique_key(&self) -> Option<String> {
        None
    }
}

/// Declares a job about an order.
macro_rules! order_job {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $queue:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            pub order_id: OrderId,
        }

        impl Job for $name {
            const KIND: &'static str = $kind;
            const QUEUE: Queue = $queue;

            fn order_id(&self) -> Option<OrderId> {
                Some(self.order_id)
            }
        }
    };
}

order_job!(/// Charges the customer for an order.
    ProcessPayment, "process_payment", Queue::High);
order_job!(/// Voids or refunds what was charged and gives the stock back.
    CancelOrder, "cancel_order", Queue::High);
order_job!(/// Books the carrier and lets the stock leave.
    ShipOrder, "ship_order", Queue::Default);
order_job!(/// Asks the carrier whether an order has arrived.
    DeliverOrder, "deliver_order", Queue::Low);

/// Something that the clock asks for, once per tick over the whole fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// What is to be done: `reap`, `audit`, `retain`.
    pub name: String,
    pub at: DateTime<Utc>,
}

impl Job for Tick {
    const KIND: &'static str = "tick";
    const QUEUE: Queue = Queue::Low;

    fn unique_key(&self) -> Option<String> {
        Some(format!("{} {}", self.name, self.at.format("%Y-%m-%dT%H:%M:%SZ")))
    }
}

/// Waits, or does not: what benchmarks and drills run, since it touches nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noop {
    #[serde(default)]
    pub wait_ms: u64,
}

impl Job for Noop {
    const KIND: &'static str = "noop";
    const QUEUE: Queue = Queue::Default;
}

/// Where a job came from: travels with it into the worker's log lines and traces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    pub request_id: Option<String>,
    pub trace_parent: Option<String>,
}

/// When a job is first tried, and how often at most.
#[derive(Debug, Clone)]
pub struct Plan {
    /// From now.
    pub delay: Duration,
    pub max_attempts: i32,
    pub origin: Origin,
}

/// A job that is to be rung once its transaction is committed. If that is forgotten, or the process dies in
/// between, the sweep rings it a second later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "ring it after the commit"]
pub struct Ring {
    pub queue: Queue,
    pub id: JobId,
    pub run_at: DateTime<Utc>,
    /// The kind of a job that has just been written: whoever rings for it counts it.
    pub written: Option<&'static str>,
}

impl Ring {
    /// For a job that has just been written.
    pub fn first<J: Job>(id: JobId, run_at: DateTime<Utc>) -> Self {
        Self { queue: J::QUEUE, id, run_at, written: Some(J::KIND) }
    }

    /// For a job that was there before.
    pub fn again(queue: Queue, id: JobId, run_at: DateTime<Utc>) -> Self {
        Self { queue, id, run_at, written: None }
    }
}

/// Writes a job in the transaction of what it follows. None: there is one with its unique key already.
pub async fn enqueue<J: Job>(conn: &mut PgConnection, job: &J, plan: &Plan) -> Result<Option<Ring>> {
    Ok(insert(conn, &[(job, plan)]).await?.pop())
}

/// The same for many, in one statement.
pub async fn enqueue_many<J: Job>(conn: &mut PgConnection, jobs: &[(J, &Plan)]) -> Result<Vec<Ring>> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let jobs: Vec<_> = jobs.iter().map(|(job, plan)| (job, *plan)).collect();
    insert(conn, &jobs).await
}

async fn insert<J: Job>(conn: &mut PgConnection, jobs: &[(&J, &Plan)]) -> Result<Vec<Ring>> {
    let (mut args, mut delays, mut max_attempts, mut orders) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut unique_keys, mut request_ids, mut trace_parents) = (Vec::new(), Vec::new(), Vec::new());
    for (job, plan) in jobs {
        args.push(serde_json::to_value(job).map_err(crate::error::Error::internal)?);
        delays.push(plan.delay.as_secs_f64());
        max_attempts.push(plan.max_attempts);
        orders.push(job.order_id());
        unique_keys.push(job.unique_key());
        request_ids.push(plan.origin.request_id.as_deref());
        trace_parents.push(plan.origin.trace_parent.as_deref());
    }
    let rows = sqlx::query!(
        r#"insert into jobs (queue, kind, version, args, run_at, max_attempt, order_id, unique_key, request_id, trace_parent)
           select $1, $2, $3, args, clock_timestamp() + make_interval(secs => delay), max_attempt, order_id, unique_key,
                  request_id, trace_parent
             from unnest($4::jsonb[], $5::float8[], $6::int[], $7::uuid[], $8::text[], $9::text[], $10::text[])
                  job (args, delay, max_attempt, order_id, unique_key, request_id, trace_parent)
           on conflict (unique_key) do nothing
           returning id, run_at"#,
        J::QUEUE as Queue,
        J::KIND,
        J::VERSION,
        &args,
        &delays,
        &max_attempts,
        &orders as &[Option<OrderId>],
        &unique_keys as &[Option<String>],
        &request_ids as &[Option<&str>],
        &trace_parents as &[Option<&str>],
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| Ring::first::<J>(JobId(row.id), row.run_at)).collect())
}

/// Does such a job of this order run, or wait for its next attempt?
pub(crate) async fn is_live<J: Job>(conn: &mut PgConnection, order_id: OrderId) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from jobs where order_id = $1 and kind = $2 and state in ('ready', 'running')) as "live!""#,
        order_id as OrderId,
        J::KIND,
    )
    .fetch_one(conn)
    .await?)
}

/// A worker process, new at each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WorkerId(pub Uuid);

/// A job that this process may carry out. The attempt is its fence: when another one is made, this one
/// cannot commit any more.
#[derive(Debug, Clone)]
pub struct LeasedJob {
    pub id: JobId,
    pub attempt: i32,
    pub max_attempt: i32,
    pub queue: Queue,
    pub kind: String,
    pub version: i16,
    pub args: Value,
    pub order_id: Option<OrderId>,
    pub origin: Origin,
    /// When it was due.
    pub run_at: DateTime<Utc>,
    pub lease: Arc<Lease>,
}

impl LeasedJob {
    /// Which jobs follow from this one: they belong to the same request.
    pub fn plan(&self, delay: Duration, max_attempts: i32) -> Plan {
        Plan { delay, max_attempts, origin: self.origin.clone() }
    }

    pub fn decode<J: Job>(&self) -> Result<J, serde_json::Error> {
        serde_json::from_value(self.args.clone())
    }
}

/// How long this process may believe that a job is still its own, by its own clock.
#[derive(Debug)]
pub struct Lease {
    started: Instant,
    length: Duration,
    /// Milliseconds from `started` to the last claim or renewal that surely succeeded.
    confirmed_ms: AtomicU64,
}

impl Lease {
    /// `asked` is when the claim was sent: the lease cannot have begun before.
    pub fn new(asked: Instant, length: Duration) -> Self {
        Self { started: asked, length, confirmed_ms: AtomicU64::new(0) }
    }

    pub fn confirm(&self, asked: Instant) {
        let since = asked.saturating_duration_since(self.started).as_millis();
        self.confirmed_ms.fetch_max(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// May an external call still be started? Not without a success for two thirds of the lease: the call
    /// could outlive it.
    pub fn allows_calls(&self) -> bool {
        let confirmed = Duration::from_millis(self.confirmed_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(confirmed) < self.length * 2 / 3
    }
}
