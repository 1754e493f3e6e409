//! The overview's numbers: does everything hold, who waits for a person, does work flow, are there workers, what was
//! ordered. Each statement reads a bounded number of rows.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;

use crate::audit;
use crate::error::Result;
use crate::history::CurrencyTotal;
use crate::history::read::{self as history, History, HistoryRange};
use crate::ops::workers::{self, Fleet};
use crate::orders::status::Status;
use crate::platform::briefly::Briefly;
use crate::queue::Queue;

/// Dead jobs, and discarded ones, that are looked at: some 50 ms. With more of them the sums are a lower bound.
const MAX_JOBS: i64 = 5_000;
/// The waits of this time make the verdict.
const WAITS_OF: TimeDelta = TimeDelta::minutes(5);

/// What the overview shows.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "at": "2026-11-21T08:15:00Z",
    "promises": {"ran_at": "2026-11-21T08:13:00Z", "invariants": 11, "violations": 0},
    "people": {
        "orders": 312, "at_least": false, "totals": [{"currency": "USD", "orders": 312, "value": 4_122_000}],
        "since": "2026-11-21T07:38:00Z"
    },
    "flow": [{"queue": "high", "paused": false, "oldest_due_seconds": 0, "p95_wait_ms": 4.2}],
    "fleet": {"workers": 3, "places_used": 41, "places": 96},
    "orders": {
        "today": [{"currency": "USD", "orders": 812, "value": 9_810_400}],
        "last_hour": [{"currency": "USD", "orders": 96, "value": 1_204_000}]
    }
}))]
pub struct Summary {
    pub at: DateTime<Utc>,
    pub promises: Promises,
    pub people: WaitingForPeople,
    /// By queue, in the order of their priority
    pub flow: Vec<QueueFlow>,
    pub fleet: Fleet,
    pub orders: RecentOrders,
}

/// What the last audit found.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Promises {
    /// Null before the first audit
    pub ran_at: Option<DateTime<Utc>>,
    #[schema(example = 11)]
    pub invariants: usize,
    pub violations: i64,
}

/// Open orders whose next step is a person's.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WaitingForPeople {
    #[schema(example = 312)]
    pub orders: i64,
    /// There are more dead jobs than were looked at, so all numbers here are lower bounds
    pub at_least: bool,
    pub totals: Vec<CurrencyTotal>,
    /// When the first of them began to wait
    pub since: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QueueFlow {
    pub queue: Queue,
    pub paused: bool,
    /// For how long the oldest due job has waited; 0 without one
    pub oldest_due_seconds: i64,
    /// Of the last five minutes; null if nothing ran
    pub p95_wait_ms: Option<f64>,
}

/// Orders that were placed, by currency.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RecentOrders {
    /// Since midnight, UTC
    pub today: Vec<CurrencyTotal>,
    pub last_hour: Vec<CurrencyTotal>,
}

/// Reads for the overview, shared by all viewers of a process: each at most once a second.
pub struct Overview {
    db: PgPool,
    summary: Briefly<(), Summary>,
    history: Briefly<HistoryRange, History>,
}

impl Overview {
    pub fn new(db: PgPool) -> Self {
        Self { db, summary: Briefly::default(), history: Briefly::default() }
    }

    pub async fn summary(&self) -> Result<std::sync::Arc<Summary>> {
        let fresh = Box::pin(async { read(&mut *self.db.acquire().await?, Utc::now()).await });
        self.summary.get((), fresh).await
    }

    pub async fn history(&self, range: HistoryRange) -> Result<std::sync::Arc<History>> {
        let fresh = Box::pin(async { history::read(&mut *self.db.acquire().await?, range).await });
        self.history.get(range, fresh).await
    }
}

/// Reads all numbers now.
pub async fn read(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<Summary> {
    let audit = audit::last(conn).await?;
    let midnight = now.date_naive().and_time(NaiveTime::MIN).and_utc();
    // The newest step has begun, so it ends after now.
    let end = now + TimeDelta::seconds(10);
    Ok(Summary {
        at: now,
        promises: Promises {
            ran_at: audit.as_ref().map(|audit| audit.ran_at),
            invariants: audit.as_ref().map_or(0, |audit| audit.invariants.len()),
            violations: audit.map_or(0, |audit| audit.violations),
        },
        people: people(conn).await?,
        flow: flow(conn, now).await?,
        fleet: workers::fleet(conn).await?,
        orders: RecentOrders {
            today: history::placed_since(conn, midnight, end).await?,
            last_hour: history::placed_since(conn, now - TimeDelta::hours(1), end).await?,
        },
    })
}

/// Orders whose job is dead or discarded while no other job does the same. The oldest dead jobs are looked at, since they
/// have waited longest.
async fn people(conn: &mut PgConnection) -> Result<WaitingForPeople> {
    let rows = sqlx::query!(
        r#"with dead as materialized (
               select order_id, kind, finished_at, created_at from jobs where state = 'dead' order by id limit $1),
           discarded as materialized (
               select order_id, kind, finished_at, created_at from jobs where state = 'discarded' order by id desc limit $1),
           stuck as (select * from dead union all select * from discarded),
           waiting as (
               select o.id, o.currency, o.total_minor, min(coalesce(s.finished_at, s.created_at)) as since
                 from stuck s join orders o on o.id = s.order_id
                where s.kind = $2::jsonb ->> o.status
                  and not exists (select from jobs j where j.order_id = o.id and j.kind = s.kind
                                                       and j.state in ('ready', 'running'))
                group by o.id, o.currency, o.total_minor)
           select currency as "currency?", count(id) as "orders!", coalesce(sum(total_minor), 0)::bigint as "value!",
                  min(since) as since,
                  ((select count(*) from dead) = $1 or (select count(*) from discarded) = $1) as "at_least!"
             from (select) one left join waiting on true
            group by currency order by currency"#,
        MAX_JOBS,
        Json(Status::next_jobs()) as _,
    )
    .fetch_all(conn)
    .await?;
    let (at_least, since) = (rows.iter().any(|row| row.at_least), rows.iter().filter_map(|row| row.since).min());
    let total = |currency: String, orders, value| CurrencyTotal {
        currency: currency.parse().expect("the currency of an order is valid"),
        orders,
        value,
    };
    let totals: Vec<CurrencyTotal> =
        rows.into_iter().filter_map(|row| Some(total(row.currency?, row.orders, row.value))).collect();
    Ok(WaitingForPeople { orders: totals.iter().map(|total| total.orders).sum(), at_least, totals, since })
}

async fn flow(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<Vec<QueueFlow>> {
    let queues = sqlx::query!(
        r#"select name as "queue: Queue", paused,
                  (select coalesce(greatest(extract(epoch from now() - min(run_at)), 0), 0)::bigint
                     from jobs where queue = q.name and state = 'ready') as "oldest!"
             from queues q order by name"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let waits = history::waits_since(conn, now - WAITS_OF, now + TimeDelta::seconds(10)).await?;
    let p95 = |queue| waits.iter().find(|(known, _)| *known == queue).map(|(_, times)| times.p95_ms);
    let view =
        |queue, paused, oldest_due_seconds| QueueFlow { queue, paused, oldest_due_seconds, p95_wait_ms: p95(queue) };
    Ok(queues.into_iter().map(|row| view(row.queue, row.paused, row.oldest)).collect())
}
