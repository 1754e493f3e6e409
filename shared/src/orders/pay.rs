//! Paying for an order. Its charge is written before the provider is called, and the provider's answer is recorded
//! together with what follows from it. Erases payment tokens that nobody needs any more.

use std::time::Duration;

use sqlx::PgConnection;

use super::event::{Event, PAYMENT_DECLINED, PAYMENT_VOIDED};
use super::jobs::{ProcessPayment, ShipOrder};
use super::status::{Edge, Status};
use super::transition::{self, Moved};
use crate::error::{Error, Result};
use crate::inventory::reserve;
use crate::page;
use crate::payments::{self, Charge, Opened, Outcome};
use crate::principal::Principal;
use crate::queue::{self, Plan, Ring};
use crate::values::{CustomerId, Money, OrderId, PaymentToken};

/// What a worker has to do about the payment of an order.
#[derive(Debug)]
pub enum Start {
    /// Take the money. Without a token, because it was erased, nothing can be charged. But an earlier attempt may have
    /// charged.
    Charge { opened: Opened, token: Option<PaymentToken>, customer_id: CustomerId },
    /// Staff have marked the order as paid meanwhile: what the provider took, or may yet take, goes back.
    Void(Charge),
    /// The order is paid already, or cancelled.
    Nothing,
}

/// Pending → processing, and writes the charge that is about to be asked for. Repeating it returns the same charge.
pub async fn start(conn: &mut PgConnection, order_id: OrderId) -> Result<Start> {
    let started = begin(conn, order_id, false, &Principal::system()).await?;
    let unpaid = match started {
        Some(moved) => Some(Unpaid { total: moved.total, token: moved.payment_token, customer_id: moved.customer_id }),
        None => lock_processing(conn, order_id).await?,
    };
    let Some(unpaid) = unpaid else {
        return Ok(payments::to_void_if_paid_manually(conn, order_id).await?.map_or(Start::Nothing, Start::Void));
    };
    let Some(opened) = payments::open(conn, order_id, unpaid.total).await? else { return Ok(Start::Nothing) };
    Ok(Start::Charge { opened, token: unpaid.token, customer_id: unpaid.customer_id })
}

struct Unpaid {
    total: Money,
    token: Option<PaymentToken>,
    customer_id: CustomerId,
}

/// Pending → processing; None: the order is not pending.
async fn begin(conn: &mut PgConnection, order_id: OrderId, by_hand: bool, by: &Principal) -> Result<Option<Moved>> {
    let event = Event::Processing { by_hand };
    Ok(transition::advance(conn, Edge::START_PAYMENT, &[(order_id, event)], by).await?.pop())
}

/// Staff say that a payment is under way. The payment job goes on as before.
pub(super) async fn begin_manually(conn: &mut PgConnection, staff: &Principal, order_id: OrderId) -> Result<()> {
    begin(conn, order_id, true, staff).await?;
    Ok(())
}

/// Locks an order that is being charged; None: it is in another state.
async fn lock_processing(conn: &mut PgConnection, order_id: OrderId) -> Result<Option<Unpaid>> {
    let row = sqlx::query!(
        "select total_minor, currency, payment_token, customer_id from orders
          where id = $1 and status = 'processing' for no key update",
        order_id as OrderId,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Unpaid {
        total: Money::stored(row.total_minor, &row.currency),
        token: row.payment_token.map(PaymentToken::stored),
        customer_id: row.customer_id.into(),
    }))
}

/// Erases the payment token of an order whose payment job was given up.
pub(crate) async fn erase_token(conn: &mut PgConnection, order_id: OrderId) -> Result<()> {
    sqlx::query!("update orders set payment_token = null where id = $1", order_id as OrderId).execute(conn).await?;
    Ok(())
}

/// Erases the payment tokens of up to `limit` orders that have waited for their payment for longer than this: their job
/// is dead, and nobody has looked at it. Returns how many.
pub async fn erase_old_tokens(conn: &mut PgConnection, older_than: Duration, limit: i64) -> Result<u64> {
    let now = sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(&mut *conn).await?;
    // Only unpaid orders have a token. Ids begin with the time, so the index on status and id finds the old ones.
    let erased = sqlx::query!(
        "update orders set payment_token = null where id = any(array(
             select id from orders
              where status = any($1) and id < $2 and payment_token is not null
              order by id limit $3 for no key update skip locked))",
        &Status::names(Status::is_unpaid) as &[&str],
        page::first_id_at(now - older_than),
        limit,
    )
    .execute(conn)
    .await?;
    Ok(erased.rows_affected())
}

/// Records what the provider answered, and moves the order if it still waits for that. If the order was cancelled
/// meanwhile, only the charge is recorded; the cancellation then gives the money back.
pub async fn record(
    conn: &mut PgConnection,
    charge: &Charge,
    outcome: &Outcome,
    shipping: &Plan,
) -> Result<Option<Ring>> {
    let order_id = charge.order_id;
    let declined = |reason: &str, declined: Option<&String>| Event::Cancelled {
        reason: Some(reason.to_owned()),
        payment: None,
        declined: declined.cloned(),
    };
    let (edge, event) = match outcome {
        Outcome::Charged => (Edge::PAY, Event::Paid { charge_id: Some(charge.id), by_hand: false }),
        Outcome::Declined { reason } => (Edge::DECLINE, declined(PAYMENT_DECLINED, Some(reason))),
        Outcome::Closed | Outcome::Refunded => (Edge::DECLINE, declined(PAYMENT_VOIDED, None)),
    };
    let moved = transition::advance(conn, edge, &[(order_id, event)], &Principal::system()).await?;
    payments::record_outcome(conn, charge, outcome).await?;
    if moved.is_empty() {
        return Ok(None);
    }
    if edge == Edge::PAY {
        return follow_paid(conn, order_id, shipping).await;
    }
    if reserve::release_of_orders(conn, None, &[order_id]).await?.is_empty() {
        return Err(Error::internal("an order was declined, and it held no stock"));
    }
    Ok(None)
}

/// Processing → paid with money that came another way. A provider that was asked and never answered may have taken
/// money too. Then the payment job runs once more: it finds the order paid and voids the provider's charge.
pub(super) async fn pay_manually(
    conn: &mut PgConnection,
    staff: &Principal,
    order_id: OrderId,
    plan: &Plan,
) -> Result<Vec<Ring>> {
    let mut rings = Vec::new();
    if payments::to_void(conn, order_id).await?.is_some() {
        if queue::is_live::<ProcessPayment>(conn, order_id.0).await? {
            return Err(Error::PaymentInProgress);
        }
        rings.extend(queue::enqueue(conn, &ProcessPayment { order_id }, plan).await?);
    }
    let event = Event::Paid { charge_id: None, by_hand: true };
    let Some(paid) = transition::advance(conn, Edge::PAY, &[(order_id, event)], staff).await?.pop() else {
        return Err(Error::internal("an order moved while it was locked"));
    };
    payments::record_manual_charge(conn, order_id, paid.total).await?;
    rings.extend(follow_paid(conn, order_id, plan).await?);
    Ok(rings)
}

/// What follows when an order has just become paid: its reservation does not expire any more, and a job ships it.
async fn follow_paid(conn: &mut PgConnection, order_id: OrderId, shipping: &Plan) -> Result<Option<Ring>> {
    if reserve::post_of_orders(conn, &[order_id]).await?.is_empty() {
        return Err(Error::internal("an order was paid, and it held no stock"));
    }
    queue::enqueue(conn, &ShipOrder { order_id }, shipping).await
}
