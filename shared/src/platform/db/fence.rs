//! Refuses connections to a server that is not the primary. Writes no table.
//!
//! What leads us to the primary (HAProxy, a Kubernetes Service, DNS) may be wrong for a moment, and Patroni 3.0.2 was wrong
//! for longer: it gave the leadership back to a server that had been frozen while another one was promoted, and answered
//! orders were lost (docs/scaling.md). So each new connection asks two things. A server in recovery is a standby, which
//! returns old data. And each promotion begins a new timeline with a higher number, so a server on a lower timeline than one
//! that was seen before has been replaced and does not know it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::{fmt, io};

use prometheus::{IntCounterVec, IntGauge, Registry, opts};
use redis::cmd;
use sqlx::{FromRow, PgConnection};

use crate::platform::redis::Redis;

/// The check of new connections, with what this process knows of timelines. All pools of a process share one.
pub struct Fence {
    /// Keeps what any process has seen, also while all of them restart. Only a hint: without it, a process knows what it
    /// has seen itself.
    redis: Option<Redis>,
    known: Mutex<Known>,
    metrics: FenceMetrics,
}

#[derive(Default)]
struct Known {
    /// The latest timeline of each database system. A copy that begins its own history is another system.
    timelines: HashMap<i64, i64>,
    /// Why the last connection was refused, so that it is logged once.
    refused: Option<Refusal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Standby,
    OldTimeline { timeline: i64, latest: i64 },
}

impl Refusal {
    const fn reason(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::OldTimeline { .. } => "old_timeline",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standby => write!(
                f,
                "DATABASE_URL leads to a standby. Nothing is read from it and nothing is written until it leads to the primary"
            ),
            Self::OldTimeline { timeline, latest } => write!(
                f,
                "DATABASE_URL leads to a server on timeline {timeline}, but another server was promoted and began timeline \
                 {latest}. The server was replaced and does not know it: what is written there is lost, so it is not used. \
                 See docs/runbook.md, MillraceDatabaseReplaced"
            ),
        }
    }
}

/// What a server says of itself.
#[derive(FromRow)]
struct Identity {
    system: i64,
    /// None: it is a standby. 0: it does not know timelines.
    timeline: Option<i64>,
}

impl Fence {
    pub fn new(redis: Option<Redis>) -> prometheus::Result<Self> {
        Ok(Self { redis, known: Mutex::default(), metrics: FenceMetrics::new()? })
    }

    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.metrics.timeline.clone()))?;
        registry.register(Box::new(self.metrics.refused.clone()))
    }

    /// Refuses a standby, and a primary that was replaced.
    pub async fn check(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let server = ask(conn).await?;
        let verdict = match server.timeline {
            None => Err(Refusal::Standby),
            Some(timeline) => self.compare(server.system, timeline).await,
        };
        self.tell(verdict);
        verdict.map_err(|refusal| io::Error::other(refusal.to_string()).into())
    }

    async fn compare(&self, system: i64, timeline: i64) -> Result<(), Refusal> {
        let mut latest = self.raise(system, timeline);
        if let Some(seen) = self.seen_by_others(system, latest).await {
            latest = self.raise(system, seen);
        }
        if timeline < latest {
            return Err(Refusal::OldTimeline { timeline, latest });
        }
        Ok(())
    }

    /// Remembers the higher one of this timeline and the one that is known, and returns it.
    fn raise(&self, system: i64, timeline: i64) -> i64 {
        let mut known = self.known.lock().expect("no code panics while it holds this lock");
        let latest = known.timelines.entry(system).or_default();
        *latest = timeline.max(*latest);
        self.metrics.timeline.set(*latest);
        *latest
    }

    /// Tells the other processes the latest timeline that this one knows, and returns theirs. None without Redis.
    async fn seen_by_others(&self, system: i64, mine: i64) -> Option<i64> {
        let redis = self.redis.as_ref()?;
        // The key has the hash tag of the queue's keys, for which the queue's user of Redis has the rights.
        let key = redis.tagged_key("timelines");
        let seen: Option<i64> = redis.ask(&key, cmd("ZSCORE").arg(&key).arg(system)).await?;
        if seen.is_none_or(|seen| seen < mine) {
            let _: Option<i64> = redis.ask(&key, cmd("ZADD").arg(&key).arg("GT").arg(mine).arg(system)).await;
        }
        seen
    }

    /// Counts a refusal, and logs when it begins and when it ends.
    fn tell(&self, verdict: Result<(), Refusal>) {
        if let Err(refusal) = verdict {
            self.metrics.refused.with_label_values(&[refusal.reason()]).inc();
        }
        let before = {
            let mut known = self.known.lock().expect("no code panics while it holds this lock");
            std::mem::replace(&mut known.refused, verdict.err())
        };
        match verdict {
            Err(refusal) if before != Some(refusal) => tracing::error!("{refusal}"),
            Ok(()) if before.is_some() => tracing::info!("DATABASE_URL leads to the primary again"),
            _ => {}
        }
    }
}

/// The first eight hexadecimal digits of the name of the current log file are the timeline.
const ASK: &str = "select (select system_identifier from pg_control_system()) as system,
    case when not pg_is_in_recovery()
         then ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint end as timeline";
/// For servers that only speak Postgres's language: what they call a timeline, if anything, is something else.
const ASK_WITHOUT_TIMELINE: &str =
    "select 0::bigint as system, case when not pg_is_in_recovery() then 0::bigint end as timeline";

async fn ask(conn: &mut PgConnection) -> Result<Identity, sqlx::Error> {
    let answer = sqlx::query_as(ASK).persistent(false).fetch_one(&mut *conn).await;
    match answer {
        Err(sqlx::Error::Database(error)) if is_not_there(error.code().as_deref()) => {
            sqlx::query_as(ASK_WITHOUT_TIMELINE).persistent(false).fetch_one(conn).await
        }
        answer => answer,
    }
}

/// Undefined function · insufficient privilege · feature not supported.
fn is_not_there(code: Option<&str>) -> bool {
    matches!(code, Some("42883" | "42501" | "0A000"))
}

struct FenceMetrics {
    timeline: IntGauge,
    refused: IntCounterVec,
}

impl FenceMetrics {
    fn new() -> prometheus::Result<Self> {
        let refused = IntCounterVec::new(
            opts!(
                "millrace_database_connections_refused_total",
                "Connections to Postgres that were given up at once, because the server is a standby or was replaced"
            ),
            &["reason"],
        )?;
        for reason in ["standby", "old_timeline"] {
            refused.with_label_values(&[reason]);
        }
        let timeline =
            IntGauge::new("millrace_database_timeline", "The latest timeline of Postgres that any process has seen")?;
        Ok(Self { timeline, refused })
    }
}
