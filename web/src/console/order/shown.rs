//! What the page of an order shows, as plain data.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use shared::ops::jobs::JobDetail;
use shared::orders::OrderView;
use shared::orders::read::OrderEvent;
use shared::values::{JobId, Money};
use uuid::Uuid;

/// All that the page shows. The caller has asked `shared` for it.
pub struct OrderPage {
    pub order: OrderView,
    pub events: Vec<OrderEvent>,
    pub jobs: Vec<JobDetail>,
    /// What the server allows this reader to do now.
    pub actions: Vec<OrderAction>,
    pub charge: Option<ChargeFacts>,
    pub allocation: Option<StockHeld>,
    /// Names of the warehouses that occur.
    pub warehouses: BTreeMap<Uuid, String>,
    /// Category of each SKU, for its picture.
    pub categories: BTreeMap<String, String>,
    pub other_orders: Vec<OrderView>,
    /// Addresses of the orders placed after and before this one.
    pub newer: Option<String>,
    pub older: Option<String>,
    pub trace: Option<String>,
    /// The past of the order can be shown.
    pub has_past: bool,
    /// A packing slip can be printed.
    pub has_slip: bool,
    /// Notes can be written.
    pub takes_notes: bool,
    /// The moment that is shown, where it is not the present.
    pub as_of: Option<DateTime<Utc>>,
    /// Makes each form one effect.
    pub key: Uuid,
}

/// A button that the state of the order and of its jobs allows.
#[derive(Debug, Clone, PartialEq)]
pub enum OrderAction {
    RetryJob(JobId),
    MarkPaid,
    ShipByHand,
    MarkDelivered,
    /// What goes back to the customer, and how many units to the shelf.
    Cancel {
        refund: Option<Money>,
        units: i64,
    },
    GiveUpJob(JobId),
}

/// The charge as the ledger of effects knows it.
pub struct ChargeFacts {
    /// Our key at the provider, the same over all attempts.
    pub key: Uuid,
    pub asked: i32,
    pub last_asked: Option<DateTime<Utc>>,
    /// The last question had no answer: it may have acted or not.
    pub unknown: bool,
}

/// Which stock the order holds, and why that.
pub struct StockHeld {
    pub state: Hold,
    pub lines: Vec<HeldLine>,
    pub considered: Vec<Looked>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    Until(DateTime<Utc>),
    /// Paid for: it stays until it is shipped.
    Kept,
    Shipped,
    Released,
}

pub struct HeldLine {
    pub warehouse_id: Uuid,
    pub sku: String,
    pub quantity: i32,
}

/// A warehouse that was looked at, and what it lacked.
pub struct Looked {
    pub warehouse_id: Uuid,
    pub lacked: Option<String>,
}

pub fn address(order: &OrderView) -> String {
    format!("/console/orders/{}", order.number)
}

impl OrderPage {
    /// What was bought under this SKU.
    pub fn item_name<'a>(&'a self, sku: &'a str) -> &'a str {
        self.order.items.iter().find(|item| item.sku.as_str() == sku).map_or(sku, |item| item.name.as_str())
    }

    pub fn warehouse(&self, id: Uuid) -> &str {
        self.warehouses.get(&id).map_or("a warehouse that is gone", String::as_str)
    }
}
