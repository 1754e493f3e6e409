//! What an order's timeline can say: every type of event with its data. Writes no table.

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::inventory::source::Sourced;
use crate::principal::By;
use crate::values::{JobId, Money, Remark, WarehouseId};

/// The reasons that Millrace itself gives for a cancellation; people write their own.
pub const PAYMENT_DECLINED: &str = "payment_declined";
pub const PAYMENT_FAILED: &str = "payment_failed";
pub const PAYMENT_VOIDED: &str = "payment_voided";
pub const RESERVATION_EXPIRED: &str = "reservation_expired";

/// Stored as its name (`type`) and its fields (`data`). `by_hand` says that staff did what a worker does otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Event {
    Placed {
        total: Money,
        /// Where the stock comes from, and which warehouses were considered.
        sourcing: Sourced,
    },
    Processing {
        #[serde(skip_serializing_if = "is_false")]
        by_hand: bool,
    },
    Paid {
        /// None for money that came another way.
        #[serde(skip_serializing_if = "Option::is_none")]
        charge_id: Option<Uuid>,
        #[serde(skip_serializing_if = "is_false")]
        by_hand: bool,
    },
    Shipped {
        shipments: Vec<ShippedParcel>,
        by_hand: bool,
    },
    Delivered {
        by_hand: bool,
    },
    Cancelling {
        reason: Option<String>,
    },
    Cancelled {
        /// None: as the order was cancelling for.
        reason: Option<String>,
        /// What became of the charge, if the order had one before.
        #[serde(skip_serializing_if = "Option::is_none")]
        payment: Option<PaymentEnd>,
        /// Why the provider declined.
        #[serde(skip_serializing_if = "Option::is_none")]
        declined: Option<String>,
    },
    /// What staff wrote for each other.
    Note {
        text: Remark,
    },
    /// Packing slips were printed.
    SlipPrinted,
    JobRetried {
        job_id: JobId,
        kind: String,
    },
    JobDiscarded {
        job_id: JobId,
        kind: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShippedParcel {
    pub id: Uuid,
    pub warehouse_id: WarehouseId,
    pub tracking_number: Option<String>,
}

/// What became of the charge of an order that was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PaymentEnd {
    None,
    Voided,
    Refunded,
    Declined,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Event {
    /// The type and the data as they are stored, with who did it: null for the system.
    pub(super) fn columns(&self, by: Option<&By>) -> (String, Value) {
        let mut event = json!(self);
        let mut data = event["data"].take();
        data["by"] = json!(by);
        (event["type"].as_str().expect("an event has a type").to_owned(), data)
    }

    /// Why the order is cancelled, where the event is about that.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Cancelling { reason } | Self::Cancelled { reason, .. } => reason.as_deref(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_stored_as_a_type_and_data_with_who_did_it() {
        let sam = By { id: Uuid::nil(), name: "Sam Staff".to_owned() };
        let id = Uuid::nil();
        for (event, by, expected) in [
            (Event::Processing { by_hand: false }, None, json!(["processing", { "by": null }])),
            (
                Event::Processing { by_hand: true },
                Some(&sam),
                json!(["processing", { "by_hand": true, "by": { "id": id, "name": "Sam Staff" } }]),
            ),
            (
                Event::Paid { charge_id: Some(id), by_hand: false },
                None,
                json!(["paid", { "charge_id": id, "by": null }]),
            ),
            (Event::Delivered { by_hand: false }, None, json!(["delivered", { "by_hand": false, "by": null }])),
            (Event::Cancelling { reason: None }, None, json!(["cancelling", { "reason": null, "by": null }])),
            (
                Event::Cancelled { reason: None, payment: Some(PaymentEnd::None), declined: None },
                None,
                json!(["cancelled", { "reason": null, "payment": "none", "by": null }]),
            ),
            (
                Event::JobRetried { job_id: JobId(id), kind: "ship_order".to_owned() },
                None,
                json!(["job_retried", { "job_id": id, "kind": "ship_order", "by": null }]),
            ),
        ] {
            assert_eq!(json!(event.columns(by)), expected);
        }
    }
}
