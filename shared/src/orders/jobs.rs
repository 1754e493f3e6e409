//! The jobs about an order. The worker carries them out (`worker/src/jobs/`).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::queue::{Job, Queue};
use crate::values::OrderId;

/// Charges the customer for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPayment {
    pub order_id: OrderId,
}

impl Job for ProcessPayment {
    const KIND: &'static str = "process_payment";
    const QUEUE: Queue = Queue::High;

    fn subject(&self) -> Option<Uuid> {
        Some(self.order_id.0)
    }
}

/// Voids or refunds the charge of an order and releases its stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelOrder {
    pub order_id: OrderId,
}

impl Job for CancelOrder {
    const KIND: &'static str = "cancel_order";
    const QUEUE: Queue = Queue::High;

    fn subject(&self) -> Option<Uuid> {
        Some(self.order_id.0)
    }
}

/// Books the carrier and ships the stock of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipOrder {
    pub order_id: OrderId,
}

impl Job for ShipOrder {
    const KIND: &'static str = "ship_order";
    const QUEUE: Queue = Queue::Default;

    fn subject(&self) -> Option<Uuid> {
        Some(self.order_id.0)
    }
}

/// Marks an order as delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverOrder {
    pub order_id: OrderId,
}

impl Job for DeliverOrder {
    const KIND: &'static str = "deliver_order";
    const QUEUE: Queue = Queue::Low;

    fn subject(&self) -> Option<Uuid> {
        Some(self.order_id.0)
    }
}
