//! What a chart shows: series of points. Writes no table.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::queue::Queue;

/// The distance of two points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum Step {
    #[serde(rename = "10s")]
    TenSeconds,
    #[serde(rename = "1m")]
    Minute,
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "15m")]
    QuarterHour,
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "6h")]
    SixHours,
    #[serde(rename = "1d")]
    Day,
}

impl Step {
    pub const fn seconds(self) -> i32 {
        match self {
            Self::TenSeconds => 10,
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::QuarterHour => 900,
            Self::Hour => 3600,
            Self::SixHours => 21_600,
            Self::Day => 86_400,
        }
    }

    /// The longest stored step that it is made of.
    pub(super) const fn stored(self) -> i32 {
        match self {
            Self::TenSeconds => 10,
            Self::Minute | Self::FiveMinutes | Self::QuarterHour => 60,
            Self::Hour | Self::SixHours | Self::Day => 3600,
        }
    }
}

/// Statistics over time. A step without a row is a gap: nobody wrote then, or nothing happened.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "step": "1m", "from": "2026-11-21T07:15:00Z", "to": "2026-11-21T08:15:00Z",
    "jobs": [{
        "at": "2026-11-21T08:14:00Z", "queue": "high", "kind": "process_payment", "outcome": "done", "count": 96
    }],
    "waits": [{
        "at": "2026-11-21T08:14:00Z", "queue": "high", "count": 96, "p50_ms": 1.1, "p95_ms": 4.2, "p99_ms": 8.9
    }],
    "runs": [{
        "at": "2026-11-21T08:14:00Z", "kind": "process_payment", "count": 96, "p50_ms": 61.0, "p95_ms": 95.5, "p99_ms": 99.1
    }],
    "depths": [{
        "at": "2026-11-21T08:14:00Z", "queue": "high", "ready": 3, "scheduled": 1, "running": 8, "dead": 0,
        "oldest_seconds": 0, "paused": false
    }],
    "orders": [{"at": "2026-11-21T08:14:00Z", "currency": "USD", "placed": 96, "value": 1_204_000}],
    "requests": [{
        "at": "2026-11-21T08:14:00Z", "class": "reads", "requests": 412, "failed": 0, "p50_ms": 1.9, "p95_ms": 4.6, "p99_ms": 9.1
    }]
}))]
pub struct History {
    pub step: Step,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// Attempts that ended
    pub jobs: Vec<JobsPoint>,
    /// How long jobs waited after they were due
    pub waits: Vec<WaitsPoint>,
    /// How long attempts ran
    pub runs: Vec<RunsPoint>,
    /// What the queues held at the end of each step; counts stop at 100,000
    pub depths: Vec<DepthPoint>,
    /// Orders that were placed
    pub orders: Vec<OrdersPoint>,
    /// Requests that were answered
    pub requests: Vec<RequestsPoint>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct JobsPoint {
    pub at: DateTime<Utc>,
    pub queue: Queue,
    #[schema(example = "process_payment")]
    pub kind: String,
    /// `done`, `retried`, `dead`, `postponed`, `lease_lost` or `unsettled`
    #[schema(example = "done")]
    pub outcome: String,
    pub count: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WaitsPoint {
    pub at: DateTime<Utc>,
    pub queue: Queue,
    pub count: i64,
    #[serde(flatten)]
    pub times: Percentiles,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RunsPoint {
    pub at: DateTime<Utc>,
    pub kind: String,
    pub count: i64,
    #[serde(flatten)]
    pub times: Percentiles,
}

/// In milliseconds, estimated from buckets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Percentiles {
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DepthPoint {
    pub at: DateTime<Utc>,
    pub queue: Queue,
    pub ready: i64,
    pub scheduled: i64,
    pub running: i64,
    pub dead: i64,
    pub oldest_seconds: i64,
    pub paused: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrdersPoint {
    pub at: DateTime<Utc>,
    #[schema(example = "USD")]
    pub currency: String,
    pub placed: i64,
    /// In minor units
    pub value: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RequestsPoint {
    pub at: DateTime<Utc>,
    /// `reads` and `writes` of the API, and `pages`
    #[schema(example = "reads")]
    pub class: String,
    pub requests: i64,
    /// Answers with a status of 500 or more
    pub failed: i64,
    #[serde(flatten)]
    pub times: Percentiles,
}
