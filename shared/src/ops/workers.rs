//! What staff see of the workers.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::Result;
use crate::queue::Queue;
use crate::queue::heartbeat::{GONE_SHOWN, LIVE_WITHIN};
use crate::values::{JobId, OrderId};

/// A live worker.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0197a2c0-11aa-7e4f-9b0c-5a6b7c8d9e0f", "host": "mill-7", "pid": 4711, "version": "0.1.0",
    "queues": ["high", "default", "low"], "since": "2026-11-21T08:00:00Z", "last_heartbeat": "2026-11-21T08:15:00Z",
    "running": 1, "concurrency": 32, "running_jobs": [{
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
    /// How many jobs it runs at most; 0 if it does not say (a worker of an earlier version)
    #[schema(example = 32)]
    pub concurrency: i32,
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

/// The live workers, the oldest first.
pub async fn list(conn: &mut PgConnection) -> Result<Vec<WorkerView>> {
    let rows = sqlx::query!(
        r#"select w.id, w.host, w.pid, w.version, w.queues as "queues: Vec<Queue>", w.started_at, w.heartbeat_at,
                  w.concurrency,
                  j.jobs as "jobs: Json<Vec<RunningJob>>"
             from workers w
             left join (select worker, jsonb_agg(jsonb_build_object('id', id, 'kind', kind, 'queue', queue,
                                  'attempt', attempt, 'order_id', order_id, 'started_at', started_at) order by started_at) as jobs
                          from jobs where state = 'running' group by worker) j on j.worker = w.id
            where w.gone_at is null and w.heartbeat_at > now() - make_interval(secs => $1)
            order by w.started_at, w.id"#,
        LIVE_WITHIN.as_secs_f64(),
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
                concurrency: row.concurrency,
                running: i64::try_from(running_jobs.len()).expect("a worker runs a thousand jobs at most"),
                running_jobs,
            }
        })
        .collect())
}

/// The live workers together.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Fleet {
    #[schema(example = 3)]
    pub workers: i64,
    /// Jobs that run
    #[schema(example = 41)]
    pub places_used: i64,
    #[schema(example = 96)]
    pub places: i64,
}

/// A worker that has stopped, or that was not heard of for ten seconds.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GoneWorker {
    pub id: Uuid,
    #[schema(example = "mill-7")]
    pub host: String,
    pub pid: i32,
    #[schema(example = "0.1.0")]
    pub version: String,
    pub queues: Vec<Queue>,
    pub since: DateTime<Utc>,
    /// When it stopped, or its last heartbeat
    pub gone_at: DateTime<Utc>,
    /// It said that it stops. False: it died, froze, or cannot reach the database
    pub stopped: bool,
}

/// Workers that a crash loop leaves behind are many; people read the newest.
const MAX_GONE: i64 = 100;

/// The workers that have gone in the last 15 minutes, newest first.
pub async fn gone(conn: &mut PgConnection) -> Result<Vec<GoneWorker>> {
    Ok(sqlx::query_as!(
        GoneWorker,
        r#"select id, host, pid, version, queues as "queues: Vec<Queue>", started_at as since,
                  coalesce(gone_at, heartbeat_at) as "gone_at!", gone_at is not null as "stopped!"
             from workers
            where (gone_at is not null or heartbeat_at <= now() - make_interval(secs => $1))
              and coalesce(gone_at, heartbeat_at) > now() - make_interval(secs => $2)
            order by coalesce(gone_at, heartbeat_at) desc limit $3"#,
        LIVE_WITHIN.as_secs_f64(),
        GONE_SHOWN.as_secs_f64(),
        MAX_GONE,
    )
    .fetch_all(conn)
    .await?)
}

/// The live workers together.
pub async fn fleet(conn: &mut PgConnection) -> Result<Fleet> {
    Ok(sqlx::query_as!(
        Fleet,
        r#"select count(*) as "workers!", coalesce(sum(running), 0) as "places_used!", coalesce(sum(concurrency), 0) as "places!"
             from workers where gone_at is null and heartbeat_at > now() - make_interval(secs => $1)"#,
        LIVE_WITHIN.as_secs_f64(),
    )
    .fetch_one(conn)
    .await?)
}

/// How many workers are alive.
pub async fn count(conn: &mut PgConnection) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from workers
            where gone_at is null and heartbeat_at > now() - make_interval(secs => $1)"#,
        LIVE_WITHIN.as_secs_f64(),
    )
    .fetch_one(conn)
    .await?)
}
