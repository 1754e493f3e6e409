//! What the first screen shows, as plain data.

use chrono::{DateTime, Utc};
use shared::ops::queues::QueueView;
use shared::ops::workers::WorkerView;
use shared::orders::OrderView;
use shared::values::Money;

use crate::ui::chart::Chart;
use crate::ui::words::Bounded;

pub struct OverviewPage {
    pub promises: Promises,
    pub people: People,
    pub queues: Vec<Flow>,
    pub fleet: Fleet,
    pub range: &'static str,
    /// Orders and value, jobs by outcome, waits, depths.
    pub charts: Vec<Chart>,
    pub errors: Vec<ErrorGroup>,
    pub oldest: Vec<OrderView>,
    pub low_stock: Vec<LowStock>,
    pub actions: Vec<PersonDid>,
    /// A shop without a single order gets first steps instead of charts.
    pub any_order: bool,
}

/// What the audit holds to be true.
pub struct Promises {
    pub held: usize,
    /// What does not hold, each as a sentence.
    pub broken: Vec<String>,
    pub looked_at: DateTime<Utc>,
}

/// Orders that wait for a person.
pub struct People {
    pub orders: Bounded,
    /// One sum for each currency.
    pub money: Vec<Money>,
    pub first_since: Option<DateTime<Utc>>,
}

pub struct Flow {
    pub queue: QueueView,
    pub wait_p95_ms: Option<i64>,
}

pub struct Fleet {
    pub workers: Vec<WorkerView>,
    pub places: i64,
}

pub struct ErrorGroup {
    pub fingerprint: String,
    pub error: String,
    pub kind: String,
    pub dead: Bounded,
    pub money: Vec<Money>,
    /// Dead jobs an hour over the last day.
    pub trend: Vec<Option<i64>>,
}

pub struct LowStock {
    pub sku: String,
    pub name: String,
    pub category: String,
    pub warehouse: String,
    pub available: i64,
    pub reorder_level: i64,
}

/// Something that a person did.
pub struct PersonDid {
    pub who: String,
    /// `cancelled order M-4XK29QC`
    pub what: String,
    pub href: String,
    pub at: DateTime<Utc>,
}
