//! The jobs that run by the clock, and when each last succeeded. This module alone writes `clockwork`.
//!
//! Every worker has a clock. At each tick it writes one job, whose unique key names the tick: so the whole fleet runs
//! it once.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::error::Result;
use crate::queue::{Job, Queue};

/// A job that runs by the clock.
pub trait ScheduledJob: Job {
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
    fn at(tick: DateTime<Utc>) -> Self {
        Self { at: tick }
    }
}

impl ScheduledJob for Audit {
    fn at(tick: DateTime<Utc>) -> Self {
        Self { at: tick }
    }
}

impl ScheduledJob for Prune {
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
