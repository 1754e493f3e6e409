//! Moving an order by hand: staff takes the steps that jobs take, through the same guarded functions.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::cancel::{self, Locked};
use super::jobs::ProcessPayment;
use super::{OrderView, Status, deliver, pay, read, ship};
use crate::error::{Error, Result};
use crate::identity::principal::Principal;
use crate::payments;
use crate::queue::{self, Plan, Ring};
use crate::values::OrderId;

/// Where an order is to go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "status": "paid" }))]
pub struct SetStatus {
    pub status: Status,
}

/// What follows from a move, and when.
#[derive(Debug, Clone)]
pub struct Following {
    /// For jobs that are due at once.
    pub plan: Plan,
    pub delivery_delay: Duration,
}

/// Moves an order along an allowed line, with all the effects that the move has when a worker makes it.
pub async fn set_status(
    conn: &mut PgConnection,
    staff: &Principal,
    id: OrderId,
    seen: Option<i32>,
    to: Status,
    following: &Following,
) -> Result<(OrderView, Vec<Ring>)> {
    let order = cancel::lock(conn, id).await?;
    if seen.is_some_and(|seen| seen != order.version) {
        return Err(Error::VersionMismatch);
    }
    let allowed = allowed(order.status);
    if !allowed.contains(&to) {
        let allowed = allowed.iter().copied().map(Status::name).collect();
        return Err(Error::InvalidTransition { from: order.status.name(), to: to.name(), allowed });
    }
    let rings = step(conn, staff, order, to, following).await?;
    Ok((read::get(conn, staff, id).await?, rings))
}

/// The lines of the contract. Asking for `cancelled` begins cancelling: a worker voids and releases.
fn allowed(from: Status) -> &'static [Status] {
    match from {
        Status::Pending => &[Status::Processing, Status::Cancelling, Status::Cancelled],
        Status::Processing => &[Status::Paid, Status::Cancelling, Status::Cancelled],
        Status::Paid => &[Status::Shipped, Status::Cancelling, Status::Cancelled],
        Status::Shipped => &[Status::Delivered],
        Status::Delivered | Status::Cancelling | Status::Cancelled => &[],
    }
}

async fn step(
    conn: &mut PgConnection,
    staff: &Principal,
    order: Locked,
    to: Status,
    following: &Following,
) -> Result<Vec<Ring>> {
    match to {
        Status::Processing => {
            pay::begin(conn, order.id, json!({ "by_hand": true })).await?;
            Ok(Vec::new())
        }
        Status::Paid => pay_by_hand(conn, order.id, &following.plan).await,
        Status::Shipped => {
            let delivery = Plan { delay: following.delivery_delay, ..following.plan.clone() };
            let ring = ship::by_hand(conn, staff.user_id(), order.id, &delivery).await?;
            ring.map(|ring| vec![ring]).ok_or_else(|| Error::internal("a paid order has nothing to ship"))
        }
        Status::Delivered => {
            deliver::by_hand(conn, order.id).await?;
            Ok(Vec::new())
        }
        Status::Cancelling | Status::Cancelled => {
            let ring = cancel::begin(conn, staff, order, None, &following.plan).await?;
            Ok(ring.into_iter().collect())
        }
        Status::Pending => unreachable!("no line leads back to pending"),
    }
}

/// Processing → paid with money that came another way. A provider that was asked and never answered may have
/// taken money too: the payment job, asked for once more, finds the order paid and voids that.
async fn pay_by_hand(conn: &mut PgConnection, id: OrderId, plan: &Plan) -> Result<Vec<Ring>> {
    let Some(unpaid) = pay::lock_processing(conn, id).await? else {
        return Err(Error::internal("an order moved while it was locked"));
    };
    let mut rings = Vec::new();
    if payments::to_void(conn, id).await?.is_some() {
        if queue::is_live::<ProcessPayment>(conn, id.0).await? {
            return Err(Error::PaymentInProgress);
        }
        rings.extend(queue::enqueue(conn, &ProcessPayment { order_id: id }, plan).await?);
    }
    pay::mark_paid(conn, id, json!({ "by_hand": true })).await?;
    payments::take_by_hand(conn, id, unpaid.total).await?;
    rings.extend(pay::follow_paid(conn, id, plan).await?);
    Ok(rings)
}
