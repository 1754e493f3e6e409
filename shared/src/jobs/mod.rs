//! The queue: every job is a row, written in the transaction of the change it follows. Alone writes `jobs`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::values::OrderId;

/// Ordered as workers take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type, Serialize)]
#[sqlx(type_name = "queue", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Queue {
    High,
    Default,
    Low,
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
}

/// Where a job came from: travels with it into the worker's log lines and traces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    pub request_id: Option<String>,
    pub trace_parent: Option<String>,
}

/// How many times a job is tried before a person must look at it (`JOB_MAX_ATTEMPTS`).
pub const DEFAULT_MAX_ATTEMPTS: i32 = 8;

/// Charges the customer for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct ProcessPayment {
    pub order_id: OrderId,
}

impl Job for ProcessPayment {
    const KIND: &'static str = "process_payment";
    const QUEUE: Queue = Queue::High;

    fn order_id(&self) -> Option<OrderId> {
        Some(self.order_id)
    }
}
