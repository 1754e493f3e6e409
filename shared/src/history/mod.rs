//! Statistics over time, kept in Postgres, so that they survive restarts and are the same in all processes. Alone writes
//! `job_history`, `queue_history`, `request_history` and `shop_history`.
//!
//! Each process counts in memory (`Counters`) and writes every ten seconds what it counted since (`write`). One worker of
//! each period also writes what the queues hold (`write_depths`). A process that crashes loses at most ten seconds of
//! statistics. Rows have a step: 10 s, a minute, an hour. Retention adds the short steps up to the long ones and deletes
//! old rows (`fold`); `read` answers from all three.

pub mod fold;
mod points;
pub mod read;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use serde::Serialize;
use sqlx::types::Json;
use sqlx::{Connection, PgConnection, PgPool};

use crate::error::Result;
use crate::queue::{LeasedJob, Queue, depths};
use crate::values::{Currency, Money};

/// How often a process writes what it counted. It is also the shortest step.
pub const WRITE_EVERY: Duration = Duration::from_secs(10);

/// The upper bounds of the buckets of running times, in seconds. The last bucket has none. Changing them changes what the
/// stored rows mean: append only.
pub const RAN_BUCKETS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// The same for how long jobs waited after they were due.
pub const WAITED_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];

/// The advisory lock of the worker that writes what the queues hold. Any constant number.
const DEPTHS_LOCK: i64 = 0x6465_7074;

/// What this process has counted and not yet written.
#[derive(Debug, Default)]
pub struct Counters(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    jobs: BTreeMap<(Queue, String, &'static str), Attempts>,
    orders: BTreeMap<String, Orders>,
    requests: BTreeMap<&'static str, Requests>,
}

#[derive(Debug, Clone, Default)]
struct Requests {
    count: i64,
    failed: i64,
    took: Vec<i64>,
}

#[derive(Debug, Clone, Default)]
struct Attempts {
    count: i64,
    ran: Vec<i64>,
    waited: Vec<i64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    placed: i64,
    value: i64,
}

/// Rows as the statement reads them, sorted by their keys.
#[derive(Debug, Serialize)]
struct JobCount<'a> {
    queue: Queue,
    kind: &'a str,
    outcome: &'a str,
    count: i64,
    ran: &'a [i64],
    waited: &'a [i64],
}

#[derive(Debug, Serialize)]
struct OrderCount<'a> {
    currency: &'a str,
    placed: i64,
    value: i64,
}

#[derive(Debug, Serialize)]
struct RequestCount<'a> {
    class: &'a str,
    requests: i64,
    failed: i64,
    took: &'a [i64],
}

impl Counters {
    /// An attempt ended: `waited` after the job was due, it ran for `elapsed`.
    pub fn attempt(&self, job: &LeasedJob, outcome: &'static str, waited: Duration, elapsed: Duration) {
        let mut counts = self.counts();
        let attempts = counts.jobs.entry((job.queue, job.kind.clone(), outcome)).or_default();
        attempts.count += 1;
        observe(&mut attempts.ran, &RAN_BUCKETS, elapsed);
        observe(&mut attempts.waited, &WAITED_BUCKETS, waited);
    }

    /// An order was placed.
    pub fn order(&self, total: Money) {
        let mut counts = self.counts();
        let orders = counts.orders.entry(total.currency.to_string()).or_default();
        orders.placed += 1;
        orders.value += total.amount;
    }

    /// A request of a class was answered. It failed if that was our fault.
    pub fn request(&self, class: &'static str, failed: bool, took: Duration) {
        let mut counts = self.counts();
        let requests = counts.requests.entry(class).or_default();
        requests.count += 1;
        requests.failed += i64::from(failed);
        observe(&mut requests.took, &RAN_BUCKETS, took);
    }

    /// Writes what was counted since the last call. After an error it is counted again, so that an outage of the database
    /// leaves no gap. (If only the answer to the commit was lost, these counts are written twice.)
    pub async fn write(&self, db: &PgPool) -> Result<()> {
        let counts = std::mem::take(&mut *self.counts());
        if counts.jobs.is_empty() && counts.orders.is_empty() && counts.requests.is_empty() {
            return Ok(());
        }
        let written = async {
            let mut tx = db.begin().await?;
            write_jobs(&mut tx, &counts).await?;
            write_orders(&mut tx, &counts).await?;
            write_requests(&mut tx, &counts).await?;
            Ok(tx.commit().await?)
        };
        let written = written.await;
        if written.is_err() {
            self.counts().add(counts);
        }
        written
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().expect("no code panics while it holds this lock")
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        for (key, attempts) in other.jobs {
            let sum = self.jobs.entry(key).or_default();
            sum.count += attempts.count;
            add_arrays(&mut sum.ran, &attempts.ran);
            add_arrays(&mut sum.waited, &attempts.waited);
        }
        for (currency, orders) in other.orders {
            let sum = self.orders.entry(currency).or_default();
            sum.placed += orders.placed;
            sum.value += orders.value;
        }
        for (class, requests) in other.requests {
            let sum = self.requests.entry(class).or_default();
            sum.count += requests.count;
            sum.failed += requests.failed;
            add_arrays(&mut sum.took, &requests.took);
        }
    }
}

fn observe(buckets: &mut Vec<i64>, bounds: &[f64], time: Duration) {
    buckets.resize(bounds.len() + 1, 0);
    buckets[bounds.partition_point(|bound| *bound < time.as_secs_f64())] += 1;
}

fn add_arrays(sum: &mut Vec<i64>, other: &[i64]) {
    sum.resize(sum.len().max(other.len()), 0);
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum += other;
    }
}

/// All processes add to the same rows. They lock them in the order of their keys, so they cannot deadlock.
async fn write_jobs(conn: &mut PgConnection, counts: &Counts) -> Result<()> {
    let rows: Vec<JobCount<'_>> = counts
        .jobs
        .iter()
        .map(|((queue, kind, outcome), it)| JobCount {
            queue: *queue,
            kind,
            outcome,
            count: it.count,
            ran: &it.ran,
            waited: &it.waited,
        })
        .collect();
    sqlx::query!(
        "insert into job_history as h (step, at, queue, kind, outcome, count, ran, waited)
         select 10, date_bin('10 s', now(), 'epoch'), queue, kind, outcome, count, ran, waited
           from jsonb_to_recordset($1) as t (queue queue, kind text, outcome text, count bigint, ran bigint[], waited bigint[])
          order by queue, kind, outcome
         on conflict (step, at, queue, kind, outcome) do update
            set count = h.count + excluded.count, ran = add_arrays(h.ran, excluded.ran),
                waited = add_arrays(h.waited, excluded.waited)",
        Json(rows) as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn write_orders(conn: &mut PgConnection, counts: &Counts) -> Result<()> {
    let rows: Vec<OrderCount<'_>> = counts
        .orders
        .iter()
        .map(|(currency, it)| OrderCount { currency, placed: it.placed, value: it.value })
        .collect();
    sqlx::query!(
        "insert into shop_history as h (step, at, currency, placed, value)
         select 10, date_bin('10 s', now(), 'epoch'), currency, placed, value
           from jsonb_to_recordset($1) as t (currency text, placed bigint, value bigint)
          order by currency
         on conflict (step, at, currency) do update
            set placed = h.placed + excluded.placed, value = h.value + excluded.value",
        Json(rows) as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn write_requests(conn: &mut PgConnection, counts: &Counts) -> Result<()> {
    let rows: Vec<RequestCount<'_>> = counts
        .requests
        .iter()
        .map(|(class, it)| RequestCount { class, requests: it.count, failed: it.failed, took: &it.took })
        .collect();
    sqlx::query!(
        "insert into request_history as h (step, at, class, requests, failed, took)
         select 10, date_bin('10 s', now(), 'epoch'), class, requests, failed, took
           from jsonb_to_recordset($1) as t (class text, requests bigint, failed bigint, took bigint[])
          order by class
         on conflict (step, at, class) do update
            set requests = h.requests + excluded.requests, failed = h.failed + excluded.failed,
                took = add_arrays(h.took, excluded.took)",
        Json(rows) as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes what the queues hold, unless another worker has done so in this period or is doing it.
pub async fn write_depths(conn: &mut PgConnection) -> Result<()> {
    let mut tx = conn.begin().await?;
    let is_ours = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended(current_schema()::text, $1))
              and not exists (select from queue_history where step = 10 and at = date_bin('10 s', now(), 'epoch'))
               as "is_ours!""#,
        DEPTHS_LOCK,
    )
    .fetch_one(&mut *tx)
    .await?;
    if is_ours {
        for it in depths::read(&mut tx).await? {
            sqlx::query!(
                "insert into queue_history (step, at, queue, ready, scheduled, running, dead, oldest_seconds, paused)
                 values (10, date_bin('10 s', now(), 'epoch'), $1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
                it.queue as Queue,
                it.ready,
                it.scheduled,
                it.running,
                it.dead,
                it.oldest_seconds,
                it.paused,
            )
            .execute(&mut *tx)
            .await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

/// The total of orders in one currency.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct CurrencyTotal {
    pub currency: Currency,
    #[schema(example = 312)]
    pub orders: i64,
    /// In minor units
    #[schema(example = 4_122_000)]
    pub value: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_in_the_bucket_that_holds_them() {
        let mut buckets = Vec::new();
        for ms in [0, 1, 2, 70_000] {
            observe(&mut buckets, &RAN_BUCKETS, Duration::from_millis(ms));
        }
        assert_eq!((buckets.len(), buckets[0], buckets[1], buckets[15]), (16, 2, 1, 1));
    }

    #[test]
    fn counts_that_could_not_be_written_are_added_to_later_ones() {
        let counted = Counters::default();
        counted.order(Money::stored(1250, "USD"));
        let lost = std::mem::take(&mut *counted.counts());
        counted.order(Money::stored(50, "USD"));
        counted.counts().add(lost);
        let counts = counted.counts();
        assert_eq!((counts.orders["USD"].placed, counts.orders["USD"].value), (2, 1300));
    }
}
