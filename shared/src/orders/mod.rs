//! Orders, one file for each verb. They alone write `orders`, `order_items` and `order_events`.
//!
//! `status` has the states and the edges between them, `event` what a timeline can say, and `transition` moves orders.
//! An order is placed (`placing`), paid (`pay`), shipped (`ship`) and delivered (`deliver`), or cancelled (`cancel`,
//! `reap`). Workers do it, or staff by hand (`manual`).

pub mod behind;
pub mod cancel;
pub mod deliver;
pub mod event;
pub mod filter;
pub mod jobs;
pub mod manual;
pub mod many;
pub mod note;
pub mod past;
pub mod pay;
pub mod placing;
pub mod read;
pub mod reap;
pub mod ship;
pub mod status;
mod transition;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use self::status::Status;
use crate::values::{Address, CustomerId, Money, OrderId, ProductId, Sku, WarehouseId};

/// An order as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f70-1b00-7e52-8c11-3d9a6f2b4c01", "number": "M-4XK29QC", "status": "pending",
    "customer_id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d02",
    "items": [{
        "product_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d10", "sku": "MUG-STONE-350", "name": "Stoneware mug",
        "quantity": 2, "unit_price": { "amount": 1250, "currency": "USD" }, "total": { "amount": 2500, "currency": "USD" }
    }],
    "total": { "amount": 2500, "currency": "USD" },
    "shipping_address": { "name": "Alice", "line1": "1 Mill Lane", "city": "Bath", "postal_code": "BA1 1AA", "country": "GB" },
    "payment": null, "shipments": [], "cancel_reason": null,
    "next_action": { "what": "payment", "by": "worker", "due_at": "2026-11-21T09:30:00Z" },
    "version": 1, "created_at": "2026-11-21T09:30:00Z", "updated_at": "2026-11-21T09:30:00Z"
}))]
pub struct OrderView {
    pub id: OrderId,
    /// Short enough to read out
    #[schema(example = "M-4XK29QC")]
    pub number: String,
    pub status: Status,
    pub customer_id: CustomerId,
    /// For staff only
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<OrderCustomer>,
    /// Empty if only the archive has them
    pub items: Vec<OrderItem>,
    /// The part of the archive that has the items and the timeline; absent while the database has them
    #[schema(example = "2026_12")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    pub total: Money,
    pub shipping_address: Address,
    /// The charge; null while there is none
    pub payment: Option<OrderPayment>,
    pub shipments: Vec<OrderShipment>,
    pub cancel_reason: Option<String>,
    /// What happens next, by whom and when; null for an order in a final state
    pub next_action: Option<NextAction>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrderCustomer {
    pub id: CustomerId,
    pub name: String,
    pub email: String,
}

/// A line, with name and price as they were when the order was placed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrderItem {
    pub product_id: ProductId,
    #[schema(value_type = String, example = "MUG-STONE-350")]
    pub sku: Sku,
    pub name: String,
    pub quantity: i32,
    pub unit_price: Money,
    pub total: Money,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrderPayment {
    pub status: PaymentStatus,
    pub amount: Money,
    /// Recorded by staff, for money that came another way
    pub manual: bool,
    /// When it came into this status
    pub at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PaymentStatus {
    /// The provider was asked and has not answered
    Pending,
    Charged,
    Declined,
    Refunded,
    /// Voided before anything was taken
    Voided,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrderShipment {
    pub id: Uuid,
    /// For staff only
    #[schema(value_type = Option<Uuid>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warehouse_id: Option<WarehouseId>,
    pub status: ShipmentStatus,
    /// Null until the carrier has accepted it, and for what staff shipped by hand
    #[schema(example = "MR4XK29QC7ZD")]
    pub tracking_number: Option<String>,
    pub shipped_at: Option<DateTime<Utc>>,
    pub delivered_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShipmentStatus {
    Booking,
    Shipped,
    Delivered,
}

/// What an order waits for.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NextAction {
    #[schema(example = "payment")]
    pub what: String,
    pub by: Who,
    pub due_at: DateTime<Utc>,
    /// No worker has come to it within a minute. The order keeps its stock meanwhile
    pub delayed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    Worker,
    Staff,
}
