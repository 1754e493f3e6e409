//! The states of an order and the steps between them, written once. Writes no table.
//!
//! To add a state: a variant, its line in `facts`, and its edges in `Edge`. Everything else asks these two: the
//! code, the queries and the audit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::jobs::{CancelOrder, DeliverOrder, ProcessPayment, ShipOrder};
use crate::queue::Job;

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Status {
    Pending,
    Processing,
    Paid,
    Shipped,
    Delivered,
    Cancelling,
    Cancelled,
}

/// What an order in a state that is not final waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitsFor {
    /// In words, as `next_action` shows it.
    pub what: &'static str,
    /// The kind of the job that does it.
    pub job: &'static str,
}

/// What must be true of the money of an order in a state, in our ledger and in the provider's books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charge {
    /// It is not decided yet.
    Open,
    /// The order was charged exactly once.
    Once,
    /// Nothing was taken, or everything was given back.
    None,
}

struct Facts {
    name: &'static str,
    /// None: the state is final.
    waits_for: Option<WaitsFor>,
    charge: Charge,
    /// The stock has left its warehouses.
    has_left: bool,
    stage: &'static str,
}

const PAYMENT: Option<WaitsFor> = Some(WaitsFor { what: "payment", job: ProcessPayment::KIND });
const SHIPPING: Option<WaitsFor> = Some(WaitsFor { what: "shipping", job: ShipOrder::KIND });
const DELIVERY: Option<WaitsFor> = Some(WaitsFor { what: "delivery", job: DeliverOrder::KIND });
const CANCELLATION: Option<WaitsFor> = Some(WaitsFor { what: "cancellation", job: CancelOrder::KIND });

impl Status {
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Processing,
        Self::Paid,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelling,
        Self::Cancelled,
    ];

    const fn facts(self) -> Facts {
        let (name, waits_for, charge, has_left, stage) = match self {
            Self::Pending => ("pending", PAYMENT, Charge::Open, false, "unshipped"),
            Self::Processing => ("processing", PAYMENT, Charge::Open, false, "unshipped"),
            Self::Paid => ("paid", SHIPPING, Charge::Once, false, "unshipped"),
            Self::Shipped => ("shipped", DELIVERY, Charge::Once, true, "shipped"),
            Self::Delivered => ("delivered", None, Charge::Once, true, "delivered"),
            Self::Cancelling => ("cancelling", CANCELLATION, Charge::Open, false, "unshipped"),
            Self::Cancelled => ("cancelled", None, Charge::None, false, "cancelled"),
        };
        Facts { name, waits_for, charge, has_left, stage }
    }

    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// None for a final state.
    pub const fn waits_for(self) -> Option<WaitsFor> {
        self.facts().waits_for
    }

    /// The kind of the job that an order in this state waits for.
    pub fn next_job(self) -> Option<&'static str> {
        self.waits_for().map(|waits_for| waits_for.job)
    }

    pub const fn is_final(self) -> bool {
        self.waits_for().is_none()
    }

    /// The order was charged once, and keeps the money.
    pub fn is_charged(self) -> bool {
        self.facts().charge == Charge::Once
    }

    /// Nobody holds money for the order.
    pub fn is_uncharged(self) -> bool {
        self.facts().charge == Charge::None
    }

    pub const fn has_left(self) -> bool {
        self.facts().has_left
    }

    /// The buyer has not paid, and the order is not given up: it counts against the limit of its customer.
    pub fn is_unpaid(self) -> bool {
        self.waits_for() == PAYMENT
    }

    /// What the indexes of orders know instead of the state: `orders.stage`, which Postgres derives from it. A query for a
    /// state names its stage too, or it finds no index.
    pub const fn stage(self) -> &'static str {
        self.facts().stage
    }

    /// The stages of the states for which `keep` is true, as queries take them.
    pub fn stages(keep: impl Fn(Self) -> bool) -> Vec<&'static str> {
        let mut stages: Vec<_> = Self::ALL.into_iter().filter(|status| keep(*status)).map(Self::stage).collect();
        stages.sort_unstable();
        stages.dedup();
        stages
    }

    /// The states for which `keep` is true, as queries take them.
    pub fn names(keep: impl Fn(Self) -> bool) -> Vec<&'static str> {
        Self::ALL.into_iter().filter(|status| keep(*status)).map(Self::name).collect()
    }

    /// The job for each state that is not final: `{"paid": "ship_order", …}`, as queries take it.
    pub fn next_jobs() -> BTreeMap<&'static str, &'static str> {
        Self::ALL.into_iter().filter_map(|status| Some((status.name(), status.next_job()?))).collect()
    }

    /// Where staff may move an order that is in this state.
    pub fn allowed_manually(self) -> Vec<Self> {
        let edges = Edge::ALL.into_iter().filter(|edge| edge.manual && edge.from.contains(&self));
        edges
            .flat_map(|edge| match edge.to {
                // Asking for either begins cancelling: a worker then voids the charge and releases the stock.
                Self::Cancelling => vec![Self::Cancelling, Self::Cancelled],
                to => vec![to],
            })
            .collect()
    }
}

/// A step that an order takes after it was placed. `transition::advance` moves orders along it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    pub from: &'static [Status],
    pub to: Status,
    /// Staff may take it by `PATCH /v1/orders/{id}/status`.
    pub manual: bool,
}

impl Edge {
    pub const START_PAYMENT: Self = Self::manual(&[Status::Pending], Status::Processing);
    pub const PAY: Self = Self::manual(&[Status::Processing], Status::Paid);
    pub const SHIP: Self = Self::manual(&[Status::Paid], Status::Shipped);
    pub const DELIVER: Self = Self::manual(&[Status::Shipped], Status::Delivered);
    pub const CANCEL: Self = Self::manual(&[Status::Pending, Status::Processing, Status::Paid], Status::Cancelling);
    pub const FINISH_CANCELLING: Self = Self::by_workers_only(&[Status::Cancelling], Status::Cancelled);
    /// The provider declined, or was told to void before it charged.
    pub const DECLINE: Self = Self::by_workers_only(&[Status::Processing], Status::Cancelled);
    /// Nobody began to pay before the reservation expired.
    pub const EXPIRE: Self = Self::by_workers_only(&[Status::Pending], Status::Cancelled);

    pub const ALL: [Self; 8] = [
        Self::START_PAYMENT,
        Self::PAY,
        Self::SHIP,
        Self::DELIVER,
        Self::CANCEL,
        Self::FINISH_CANCELLING,
        Self::DECLINE,
        Self::EXPIRE,
    ];

    const fn manual(from: &'static [Status], to: Status) -> Self {
        Self { from, to, manual: true }
    }

    const fn by_workers_only(from: &'static [Status], to: Status) -> Self {
        Self { from, to, manual: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staff_may_go_where_the_contract_says() {
        use Status::{Cancelled, Cancelling, Delivered, Paid, Pending, Processing, Shipped};
        for (from, allowed) in [
            (Pending, vec![Processing, Cancelling, Cancelled]),
            (Processing, vec![Paid, Cancelling, Cancelled]),
            (Paid, vec![Shipped, Cancelling, Cancelled]),
            (Shipped, vec![Delivered]),
            (Delivered, vec![]),
            (Cancelling, vec![]),
            (Cancelled, vec![]),
        ] {
            assert_eq!(from.allowed_manually(), allowed, "{from:?}");
        }
    }

    #[test]
    fn an_order_leaves_every_state_that_is_not_final_and_no_other() {
        for status in Status::ALL {
            let leaves = Edge::ALL.iter().any(|edge| edge.from.contains(&status));
            assert_eq!(leaves, !status.is_final(), "{status:?}");
            assert!(status == Status::Pending || Edge::ALL.iter().any(|edge| edge.to == status), "{status:?}");
        }
    }
}
