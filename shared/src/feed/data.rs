//! What an event of each type says, as readers get it. Only members are added here, and none is removed: readers parse it.
//! No e-mail, address or name of a customer. Writes no table.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::values::{CustomerId, JobId, Money, ProductId, WarehouseId};

/// Who did something by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventBy {
    pub id: Uuid,
    /// Null for a customer
    pub name: Option<String>,
}

/// What every event of an order says.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrderFacts {
    #[schema(example = "M-4XK29QC")]
    pub number: String,
    pub customer_id: CustomerId,
    /// The status of the order after the event
    #[schema(example = "shipped")]
    pub status: String,
    /// Null for the system
    pub by: Option<EventBy>,
}

/// An order was placed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrderPlaced {
    #[serde(flatten)]
    pub order: OrderFacts,
    pub total: Money,
    pub items: Vec<PlacedItem>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PlacedItem {
    pub product_id: ProductId,
    pub sku: String,
    pub quantity: i32,
    pub unit_price: Money,
}

/// An order moved, by a worker or by hand.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrderMoved {
    #[serde(flatten)]
    pub order: OrderFacts,
    /// Staff did what a worker does otherwise
    pub by_hand: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrderPaid {
    #[serde(flatten)]
    pub order: OrderFacts,
    pub by_hand: bool,
    pub amount: Money,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrderShipped {
    #[serde(flatten)]
    pub order: OrderFacts,
    pub by_hand: bool,
    pub shipments: Vec<EventShipment>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventShipment {
    pub id: Uuid,
    pub warehouse_id: WarehouseId,
    pub tracking_number: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrderCancelling {
    #[serde(flatten)]
    pub order: OrderFacts,
    /// What was said, or `payment_declined`, `payment_voided`, `reservation_expired`
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrderCancelled {
    #[serde(flatten)]
    pub order: OrderFacts,
    /// What was said, or `payment_declined`, `payment_voided`, `reservation_expired`
    pub reason: Option<String>,
    pub payment: PaymentOutcome,
}

/// What became of the money of an order that was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PaymentOutcome {
    None,
    Voided,
    Refunded,
    Declined,
}

/// Staff decided about a job of the order that had failed for good.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrderJob {
    #[serde(flatten)]
    pub order: OrderFacts,
    pub job_id: Option<JobId>,
    pub kind: String,
}

/// What the timeline of an order says besides.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrderNoted {
    #[serde(flatten)]
    pub order: OrderFacts,
}

/// A product as it was after the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProductFacts {
    pub sku: String,
    pub name: String,
    pub price: Money,
    pub active: bool,
    /// The fields that changed; empty for a new product
    #[schema(example = json!(["price"]))]
    pub changed: Vec<String>,
}

/// A row of stock as it was after the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StockFacts {
    pub product_id: ProductId,
    pub sku: String,
    pub warehouse_id: WarehouseId,
    pub on_hand: i32,
    pub reserved: i32,
    pub available: i32,
}

/// What is available has come down to the reorder level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LowStock {
    #[serde(flatten)]
    pub stock: StockFacts,
    pub reorder_level: i32,
}

/// Somebody created, adjusted or counted the stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AdjustedStock {
    #[serde(flatten)]
    pub stock: StockFacts,
    /// The change of what is on hand
    pub delta: i32,
    /// As in the ledger: `received`, `damaged`, `counted`, `returned`, `other`
    pub reason: String,
}

/// A test that staff asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct WebhookTested {}

/// An endpoint gets nothing any more until somebody enables it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WebhookDisabled {
    pub reason: WebhookEnd,
    pub failing_since: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WebhookEnd {
    /// It answered 410
    Gone,
    Failing,
}
