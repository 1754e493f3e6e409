//! The jobs that run by the clock, and when each last succeeded. This module alone writes `clockwork` and `schedules`.
//!
//! Every worker has a clock. At each tick it writes one job, whose unique key names the tick: so the whole fleet runs
//! it once.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::error::Result;
use crate::queue::{Job, JobState, Queue};

/// A job that runs by the clock.
pub trait ScheduledJob: Job {
    /// What it does, in a sentence for staff.
    const WHAT: &'static str;

    fn at(tick: DateTime<Utc>) -> Self;
}

/// Ends overdue reservations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reap {
    pub at: DateTime<Utc>,
}

/// Checks the invariants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    pub at: DateTime<Utc>,
}

/// Deletes rows that are too old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prune {
    pub at: DateTime<Utc>,
}

/// Moves old months of history to the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    pub at: DateTime<Utc>,
}

impl Job for Archive {
    const KIND: &'static str = "archive";
    const QUEUE: Queue = Queue::Low;

    fn unique_key(&self) -> Option<String> {
        Some(key_of_tick(Self::KIND, self.at))
    }
}

impl ScheduledJob for Archive {
    const WHAT: &'static str = "Moves the history of old months to the archive, if ARCHIVE_DIR is set.";

    fn at(tick: DateTime<Utc>) -> Self {
        Self { at: tick }
    }
}

impl Job for Reap {
    const KIND: &'static str = "reap";
    const QUEUE: Queue = Queue::Low;

    fn unique_key(&self) -> Option<String> {
        Some(key_of_tick(Self::KIND, self.at))
    }
}

impl Job for Audit {
    const KIND: &'static str = "audit";
    const QUEUE: Queue = Queue::Low;

    fn unique_key(&self) -> Option<String> {
        Some(key_of_tick(Self::KIND, self.at))
    }
}

impl Job for Prune {
    /// The alerts know this job by its first name (`millrace_cron_last_success_timestamp_seconds`).
    const KIND: &'static str = "retain";
    const QUEUE: Queue = Queue::Low;

    fn unique_key(&self) -> Option<String> {
        Some(key_of_tick(Self::KIND, self.at))
    }
}

impl ScheduledJob for Reap {
    const WHAT: &'static str = "Ends reservations that have expired, and cancels the unpaid orders they belong to.";

    fn at(tick: DateTime<Utc>) -> Self {
        Self { at: tick }
    }
}

impl ScheduledJob for Audit {
    const WHAT: &'static str = "Checks what must always be true of orders, stock and money.";

    fn at(tick: DateTime<Utc>) -> Self {
        Self { at: tick }
    }
}

impl ScheduledJob for Prune {
    const WHAT: &'static str =
        "Deletes rows that are too old, adds up the statistics, and makes room for the history of the next months.";

    fn at(tick: DateTime<Utc>) -> Self {
        Self { at: tick }
    }
}

/// The one kind that ran by the clock in earlier versions. Workers of the old and the new version may run side by side
/// during an upgrade. Both use the same unique key, so that a tick is still run once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// `reap`, `audit` or `retain`
    pub name: String,
    pub at: DateTime<Utc>,
}

impl Job for Tick {
    const KIND: &'static str = "tick";
    const QUEUE: Queue = Queue::Low;

    fn unique_key(&self) -> Option<String> {
        Some(key_of_tick(&self.name, self.at))
    }
}

fn key_of_tick(kind: &str, at: DateTime<Utc>) -> String {
    format!("{kind} {}", at.format("%Y-%m-%dT%H:%M:%SZ"))
}

/// Writes down that a scheduled job has just succeeded.
pub async fn succeeded(conn: &mut PgConnection, kind: &str) -> Result<()> {
    sqlx::query!(
        "insert into clockwork (name, last_success_at) values ($1, clock_timestamp())
         on conflict (name) do update set last_success_at = excluded.last_success_at",
        kind,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What a worker runs by the clock.
#[derive(Debug, Clone)]
pub struct Announcement {
    pub name: &'static str,
    pub what: &'static str,
    /// Cron, with seconds first.
    pub schedule: String,
    /// The tick that has just begun; None at the start of a worker.
    pub tick: Option<DateTime<Utc>>,
    pub next: DateTime<Utc>,
}

/// A job that runs by the clock, for staff.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "reap", "what": "Ends reservations that have expired, and cancels the unpaid orders they belong to.",
    "schedule": "0 * * * * *", "last_tick_at": "2026-11-21T08:15:00Z", "last_state": "done", "last_error": null,
    "last_success_at": "2026-11-21T08:15:00Z", "next_at": "2026-11-21T08:16:00Z"
}))]
pub struct ClockView {
    /// The kind of the job
    pub name: String,
    /// What it does, in a sentence
    pub what: String,
    /// Cron, with seconds first, in UTC
    pub schedule: String,
    /// The last time it was due; null before the first
    pub last_tick_at: Option<DateTime<Utc>>,
    /// How far the job of that time is; null once it was removed
    pub last_state: Option<JobState>,
    /// Why that job failed
    pub last_error: Option<String>,
    pub last_success_at: Option<DateTime<Utc>>,
    /// When it is due again. In the past: no worker runs
    pub next_at: DateTime<Utc>,
}

/// Writes down what a worker runs by the clock. Of several workers with different clocks or settings the latest tick stays.
pub async fn announce(conn: &mut PgConnection, it: &Announcement) -> Result<()> {
    sqlx::query!(
        "insert into schedules as s (name, what, schedule, ticked_at, next_at) values ($1, $2, $3, $4, $5)
         on conflict (name) do update
            set what = excluded.what, schedule = excluded.schedule,
                ticked_at = greatest(s.ticked_at, excluded.ticked_at), next_at = excluded.next_at
          where s.next_at < excluded.next_at or s.schedule <> excluded.schedule or s.what <> excluded.what",
        it.name,
        it.what,
        it.schedule,
        it.tick,
        it.next,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Everything that runs by the clock, by name.
pub async fn clocks(conn: &mut PgConnection) -> Result<Vec<ClockView>> {
    let rows = sqlx::query!(
        r#"select s.name, s.what, s.schedule, s.ticked_at, s.next_at, c.last_success_at as "last_success_at?"
             from schedules s left join clockwork c on c.name = s.name order by s.name"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let keys: Vec<String> =
        rows.iter().filter_map(|row| row.ticked_at.map(|tick| key_of_tick(&row.name, tick))).collect();
    let jobs = sqlx::query!(
        r#"select unique_key as "unique_key!", state as "state: JobState", error from jobs where unique_key = any($1)"#,
        &keys,
    )
    .fetch_all(conn)
    .await?;
    let view = |name: String, tick: Option<DateTime<Utc>>| {
        let key = tick.map(|tick| key_of_tick(&name, tick));
        let job = jobs.iter().find(|job| Some(&job.unique_key) == key.as_ref());
        (name, job.map(|job| job.state), job.and_then(|job| job.error.clone()))
    };
    Ok(rows
        .into_iter()
        .map(|row| {
            let (name, last_state, last_error) = view(row.name, row.ticked_at);
            ClockView {
                name,
                what: row.what,
                schedule: row.schedule,
                last_tick_at: row.ticked_at,
                last_state,
                last_error,
                last_success_at: row.last_success_at,
                next_at: row.next_at,
            }
        })
        .collect())
}

/// Deletes schedules that no worker has announced for 30 days: this version does not have them any more.
pub async fn remove_unused(conn: &mut PgConnection) -> Result<u64> {
    let removed =
        sqlx::query!("delete from schedules where next_at < now() - interval '30 days'").execute(conn).await?;
    Ok(removed.rows_affected())
}
