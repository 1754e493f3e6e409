//! What is asked of placing, and what it answers. Writes no table.

use std::time::Duration;

use super::super::status::Status;
use super::super::{NextAction, OrderView, Who};
use crate::error::Error;
use crate::idempotency::{BodyHash, Key};
use crate::principal::By;
use crate::queue::Origin;
use crate::values::{Address, CustomerId, JobId, OrderId, PaymentToken, ProductId, Quantity, Sku};

/// Lines of one order. A larger purchase is better made as several orders.
pub const MAX_LINES: usize = 100;

/// An order to place.
#[derive(Debug, Clone)]
pub struct PlaceOrder {
    /// Made on arrival and kept over retries, so that we can look up whether a commit whose answer was lost took place.
    pub id: OrderId,
    /// The person who orders. Idempotency keys belong to them.
    pub placed_by: By,
    pub customer_id: CustomerId,
    pub lines: Vec<OrderLine>,
    pub payment_token: PaymentToken,
    pub shipping_address: Address,
    /// No two orders of one batch may have the same key of the same person.
    pub key: Option<(Key, BodyHash)>,
    pub origin: Origin,
}

#[derive(Debug, Clone)]
pub struct OrderLine {
    pub product: ProductRef,
    pub quantity: Quantity,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProductRef {
    Id(ProductId),
    Sku(Sku),
}

/// The settings that hold for every order.
#[derive(Debug, Clone)]
pub struct PlacingTerms {
    pub reservation_ttl: Duration,
    /// Unpaid orders of one customer; 0: no limit.
    pub max_open_orders: u32,
    /// What a customer who has never paid may hold unpaid.
    pub max_unpaid: MaxUnpaid,
    pub max_attempts: i32,
}

/// What a customer may hold in unpaid orders who has never paid for one. Without these limits a new account could reserve
/// the whole stock. 0: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MaxUnpaid {
    /// Units in all.
    pub units: u32,
    /// Percent of a product's stock. `ALWAYS_ALLOWED` units may be held of every product.
    pub share: u32,
    /// Minor units of a currency.
    pub value: u64,
}

impl MaxUnpaid {
    /// So many units of a product may be held however small its stock is.
    const ALWAYS_ALLOWED: i64 = 10;

    /// Units of a product that may be held, of which there are so many on hand. None: any number.
    pub(super) fn share_of(&self, on_hand: i64) -> Option<i64> {
        (self.share > 0).then(|| (on_hand * i64::from(self.share) / 100).max(Self::ALWAYS_ALLOWED))
    }
}

impl PlacingTerms {
    /// Does a decision need to know what its customer holds unpaid?
    pub(super) fn limits_customers(&self) -> bool {
        self.max_open_orders > 0 || self.max_unpaid != MaxUnpaid::default()
    }
}

impl PlaceOrder {
    /// Units in all lines.
    pub(super) fn units(&self) -> i64 {
        self.lines.iter().map(|line| i64::from(line.quantity.get())).sum()
    }
}

/// What came of one order.
#[derive(Debug)]
pub enum Placement {
    /// The order, and the job that charges for it. No job if an earlier attempt had placed the order and its answer was
    /// lost: then the queue rings for that job a second later.
    Placed(Box<OrderView>, Option<JobId>),
    /// Placed before under the same key: the first answer again.
    Replayed(Box<OrderView>),
    Refused(Error),
    /// Another batch holds the key or the customer at this moment. Try again with the next batch.
    Busy,
}

/// The order as it was when it was placed, whatever happened to it since. A replay is made from fields that never
/// change, so the first answer is not stored.
pub(super) fn as_placed(order: OrderView) -> OrderView {
    let status = Status::Pending;
    let next_action = status.waits_for().map(|waits_for| NextAction {
        what: waits_for.what.to_owned(),
        by: Who::Worker,
        due_at: order.created_at,
        delayed: false,
    });
    OrderView {
        status,
        customer: None,
        payment: None,
        shipments: Vec::new(),
        cancel_reason: None,
        next_action,
        version: 1,
        updated_at: order.created_at,
        ..order
    }
}
