//! Moving an order by hand: staff take the steps that jobs take, through the same functions.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;

use super::status::Status;
use super::transition::{self, LockedOrder};
use super::{OrderView, cancel, deliver, pay, read, ship};
use crate::actions::{self, Action};
use crate::error::{Error, Result};
use crate::principal::Principal;
use crate::queue::{Plan, Ring};
use crate::values::OrderId;

/// The state that the order is to have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "status": "paid" }))]
pub struct SetStatus {
    pub status: Status,
}

/// How the jobs that follow from a step are planned.
#[derive(Debug, Clone)]
pub struct Following {
    /// For jobs that are due at once.
    pub plan: Plan,
    pub delivery_delay: Duration,
}

/// Moves an order along an edge that staff may take, with all the effects that the step has when a worker takes it.
pub async fn set_status(
    conn: &mut PgConnection,
    staff: &Principal,
    id: OrderId,
    seen: Option<i32>,
    to: Status,
    following: &Following,
) -> Result<(OrderView, Vec<Ring>)> {
    let order = transition::lock(conn, id).await?;
    if seen.is_some_and(|seen| seen != order.version) {
        return Err(Error::VersionMismatch);
    }
    let allowed = order.status.allowed_manually();
    if !allowed.contains(&to) {
        let allowed = allowed.into_iter().map(Status::name).collect();
        return Err(Error::InvalidTransition { from: order.status.name(), to: to.name(), allowed });
    }
    let rings = step(conn, staff, order, to, following).await?;
    let moved = read::get(conn, staff, id).await?;
    let from_to = json!({ "from": order.status, "to": moved.status });
    actions::record(conn, staff, Action::new("order.moved", "order", id).data(from_to)).await?;
    Ok((moved, rings))
}

async fn step(
    conn: &mut PgConnection,
    staff: &Principal,
    order: LockedOrder,
    to: Status,
    following: &Following,
) -> Result<Vec<Ring>> {
    match to {
        Status::Processing => {
            pay::begin_manually(conn, staff, order.id).await?;
            Ok(Vec::new())
        }
        Status::Paid => pay::pay_manually(conn, staff, order.id, &following.plan).await,
        Status::Shipped => {
            let delivery = Plan { delay: following.delivery_delay, ..following.plan.clone() };
            let ring = ship::ship_manually(conn, staff, order.id, &delivery).await?;
            ring.map(|ring| vec![ring]).ok_or_else(|| Error::internal("a paid order has nothing to ship"))
        }
        Status::Delivered => {
            deliver::deliver_manually(conn, staff, order.id).await?;
            Ok(Vec::new())
        }
        Status::Cancelling | Status::Cancelled => {
            let ring = cancel::begin(conn, staff, order, None, &following.plan).await?;
            Ok(ring.into_iter().collect())
        }
        Status::Pending => Err(Error::internal("staff may take an edge to `pending`, and no code takes it")),
    }
}

/// Records that staff placed an order for somebody else. The order stands already, and its timeline names them, so a failure
/// is only logged: an error in place of the order would make them place it again.
pub async fn record_placed_for(db: &PgPool, staff: &Principal, order: &OrderView) {
    let recorded = async {
        let mut conn = db.acquire().await?;
        let data = json!({ "customer_id": order.customer_id });
        actions::record(&mut conn, staff, Action::new("order.placed_for", "order", order.id).data(data)).await
    };
    if let Err(error) = recorded.await {
        tracing::error!(%error, order_id = %order.id, "who placed an order for somebody else was not recorded: {error}");
    }
}
