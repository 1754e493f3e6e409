//! Cancelling an order: asked for in one transaction, carried out by a worker that voids the charge and gives the
//! stock back.

use std::collections::HashMap;

use serde::Deserialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::event::{Event, PaymentEnd};
use super::jobs::CancelOrder;
use super::status::{Edge, Status};
use super::transition::{self, LockedOrder};
use super::{OrderView, read};
use crate::actions::{self, Action};
use crate::error::{Error, Result};
use crate::inventory::reserve;
use crate::payments::{self, Charge, Outcome};
use crate::principal::Principal;
use crate::queue::settle::{self, Recorded};
use crate::queue::{self, LeasedJob, Plan, Ring};
use crate::shipping;
use crate::values::{Note, OrderId};

/// Why an order is not wanted any more.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reason": "ordered twice" }))]
pub struct Cancel {
    pub reason: Option<Note>,
}

/// Marks an order as cancelling and enqueues the job that cancels it. Repeating it changes nothing.
pub async fn cancel(
    conn: &mut PgConnection,
    principal: &Principal,
    id: OrderId,
    asked: &Cancel,
    plan: &Plan,
) -> Result<(OrderView, Option<Ring>)> {
    read::require_visible(conn, principal, id).await?;
    let order = transition::lock(conn, id).await?;
    let reason = asked.reason.as_ref().map(Note::as_str);
    let ring = begin(conn, principal, order, reason, plan).await?;
    if ring.is_some() {
        let action = Action::new("order.cancel_requested", "order", id).reason(reason);
        actions::record(conn, principal, action).await?;
    }
    Ok((read::get(conn, principal, id).await?, ring))
}

/// → cancelling, unless the order is that already. The caller has locked the order in an earlier statement: a
/// statement that waits for a lock sees only the locked row as it is now, and the shipments as they were before.
pub(super) async fn begin(
    conn: &mut PgConnection,
    principal: &Principal,
    order: LockedOrder,
    reason: Option<&str>,
    plan: &Plan,
) -> Result<Option<Ring>> {
    match order.status {
        Status::Cancelling | Status::Cancelled => return Ok(None),
        Status::Paid if shipping::is_open(conn, order.id).await? => return Err(Error::OrderNotCancellable),
        status if !Edge::CANCEL.from.contains(&status) => return Err(Error::OrderNotCancellable),
        _ => {}
    }
    let event = Event::Cancelling { reason: reason.map(ToOwned::to_owned) };
    transition::advance(conn, Edge::CANCEL, &[(order.id, event)], principal).await?;
    queue::enqueue(conn, &CancelOrder { order_id: order.id }, plan).await
}

/// What a worker has to undo of an order.
#[derive(Debug)]
pub enum Undo {
    /// The provider took the money, or may yet take it.
    Void(Charge),
    /// The provider was never asked, or has declined: only the stock is given back.
    Release,
    /// The order is cancelled already.
    Nothing,
}

/// Tells what to undo. No new charge begins once an order is cancelling.
pub async fn start(conn: &mut PgConnection, orders: &[OrderId]) -> Result<HashMap<OrderId, Undo>> {
    let cancelling = sqlx::query_scalar!(
        r#"select id as "id: OrderId" from orders where id = any($1) and status = 'cancelling'"#,
        orders as &[OrderId],
    );
    let cancelling = cancelling.fetch_all(&mut *conn).await?;
    let mut charges = payments::to_void(conn, &cancelling).await?;
    let mut undo = |id: &OrderId| match charges.remove(id) {
        Some(charge) => Undo::Void(charge),
        None if cancelling.contains(id) => Undo::Release,
        None => Undo::Nothing,
    };
    Ok(orders.iter().map(|id| (*id, undo(id))).collect())
}

/// An order whose charge is undone, if it had one, and the attempt that did it.
#[derive(Debug, Clone)]
pub struct Undone {
    pub job: LeasedJob,
    pub order_id: OrderId,
    pub voided: Option<(Charge, Outcome)>,
}

impl Undone {
    fn event(&self) -> Result<(OrderId, Event)> {
        let payment = match self.voided.as_ref().map(|(_, outcome)| outcome) {
            Some(Outcome::Charged) => {
                return Err(Error::internal("the provider keeps money that was to be given back"));
            }
            Some(Outcome::Refunded) => PaymentEnd::Refunded,
            Some(Outcome::Closed) => PaymentEnd::Voided,
            Some(Outcome::Declined { .. }) => PaymentEnd::Declined,
            None => PaymentEnd::None,
        };
        Ok((self.order_id, Event::Cancelled { reason: None, payment: Some(payment), declined: None }))
    }
}

/// Finishes the jobs. Cancelling → cancelled: records what became of the charges and releases the stock. Money that staff
/// took another way is marked as refunded: they give it back themselves.
pub async fn record(conn: &mut PgConnection, batch: &[Undone]) -> Result<Recorded> {
    let finished = settle::finish_all(conn, batch.iter().map(|undone| &undone.job)).await?;
    let ours: Vec<&Undone> = batch.iter().filter(|undone| finished.contains(&undone.job.id)).collect();
    let events: Vec<_> = ours.iter().map(|undone| undone.event()).collect::<Result<_>>()?;
    let moved = transition::advance(conn, Edge::FINISH_CANCELLING, &events, &Principal::system()).await?;
    let cancelled: Vec<OrderId> = moved.into_iter().map(|order| order.id).collect();
    let answers: Vec<(&Charge, &Outcome)> = ours
        .iter()
        .filter(|undone| cancelled.contains(&undone.order_id))
        .filter_map(|undone| undone.voided.as_ref().map(|(charge, outcome)| (charge, outcome)))
        .collect();
    payments::record_outcomes(conn, &answers).await?;
    payments::refund_manual_charges(conn, &cancelled).await?;
    if reserve::release_of_orders(conn, None, &cancelled).await?.len() != cancelled.len() {
        return Err(Error::internal("an order was cancelled, and it held no stock"));
    }
    Ok(Recorded { finished, ..Recorded::default() })
}
