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
    pub max_attempts: i32,
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
