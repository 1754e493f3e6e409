//! Paying: the order is claimed and its charge written before the provider is called; what the provider said
//! is recorded with all that follows from it.

use serde_json::{Value, json};
use sqlx::PgConnection;

use super::jobs::ShipOrder;
use crate::error::{Error, Result};
use crate::inventory::reserve;
use crate::payments::{self, Charge, Opened, Outcome};
use crate::queue::{self, Plan, Ring};
use crate::values::{Money, OrderId};

/// What is to be done about the payment of an order.
#[derive(Debug)]
pub enum Start {
    /// Take the money.
    Charge { opened: Opened, token: String },
    /// The order was paid for by hand meanwhile: what the provider took, or may yet take, goes back.
    Void(Charge),
    /// It is paid already, or no longer wanted.
    Nothing,
}

/// Pending → processing, with the charge that is about to be asked for. Repeating it answers the same charge.
pub async fn start(conn: &mut PgConnection, order_id: OrderId) -> Result<Start> {
    let unpaid = match begin(conn, order_id, json!({})).await? {
        Some(unpaid) => Some(unpaid),
        None => lock_processing(conn, order_id).await?,
    };
    let Some(unpaid) = unpaid else {
        return Ok(payments::superseded(conn, order_id).await?.map_or(Start::Nothing, Start::Void));
    };
    let Some(opened) = payments::open(conn, order_id, unpaid.total).await? else { return Ok(Start::Nothing) };
    let token = unpaid.token.ok_or_else(|| Error::internal("an order that waits for its payment has no token"))?;
    Ok(Start::Charge { opened, token })
}

pub(super) struct Unpaid {
    pub total: Money,
    token: Option<String>,
}

/// Pending → processing; none if it is not pending (any more).
pub(super) async fn begin(conn: &mut PgConnection, order_id: OrderId, story: Value) -> Result<Option<Unpaid>> {
    let row = sqlx::query!(
        "with begun as (
             update orders
                set status = 'processing', event_sequence = event_sequence + 1, version = version + 1,
                    updated_at = clock_timestamp()
              where id = $1 and status = 'pending'
             returning id, event_sequence, total_minor, currency, payment_token),
         told as (
             insert into order_events (order_id, sequence, type, data)
             select id, event_sequence, 'processing', $2 from begun)
         select total_minor, currency, payment_token from begun",
        order_id as OrderId,
        story,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Unpaid { total: Money::stored(row.total_minor, &row.currency), token: row.payment_token }))
}

/// Keeps everybody else from moving an order that is being charged.
pub(super) async fn lock_processing(conn: &mut PgConnection, order_id: OrderId) -> Result<Option<Unpaid>> {
    let row = sqlx::query!(
        "select total_minor, currency, payment_token from orders
          where id = $1 and status = 'processing' for no key update",
        order_id as OrderId,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Unpaid { total: Money::stored(row.total_minor, &row.currency), token: row.payment_token }))
}

/// Keeps what the provider said, and what follows from it for an order that still waits for it. The order may
/// have been cancelled meanwhile: then the charge is kept all the same, and cancelling gives it back.
pub async fn record(
    conn: &mut PgConnection,
    charge: &Charge,
    outcome: &Outcome,
    shipping: &Plan,
) -> Result<Option<Ring>> {
    let order_id = charge.order_id;
    if *outcome == Outcome::Charged {
        let paid = mark_paid(conn, order_id, json!({ "charge_id": charge.id })).await?;
        payments::settle(conn, charge, outcome).await?;
        return if paid { follow_paid(conn, order_id, shipping).await } else { Ok(None) };
    }
    let story = match outcome {
        Outcome::Declined { reason } => json!({ "reason": "payment_declined", "declined": reason }),
        _ => json!({ "reason": "payment_voided" }),
    };
    let cancelled = mark_unpaid(conn, order_id, story).await?;
    payments::settle(conn, charge, outcome).await?;
    if cancelled && reserve::release_of_orders(conn, None, &[order_id]).await?.is_empty() {
        return Err(Error::internal("an order was declined, and it held no stock"));
    }
    Ok(None)
}

/// Processing → paid. False: it does not wait for its payment (any more).
pub(super) async fn mark_paid(conn: &mut PgConnection, order_id: OrderId, story: Value) -> Result<bool> {
    let paid = sqlx::query_scalar!(
        r#"with paid as (
               update orders
                  set status = 'paid', payment_token = null, event_sequence = event_sequence + 1,
                      version = version + 1, updated_at = clock_timestamp()
                where id = $1 and status = 'processing'
               returning id, event_sequence),
           told as (
               insert into order_events (order_id, sequence, type, data)
               select id, event_sequence, 'paid', $2 from paid)
           select true as "paid!" from paid"#,
        order_id as OrderId,
        story,
    )
    .fetch_optional(conn)
    .await?;
    Ok(paid.is_some())
}

/// What follows when an order has just become paid: its stock does not expire any more, and it is to be shipped.
pub(super) async fn follow_paid(conn: &mut PgConnection, order_id: OrderId, shipping: &Plan) -> Result<Option<Ring>> {
    if reserve::post_of_orders(conn, &[order_id]).await?.is_empty() {
        return Err(Error::internal("an order was paid, and it held no stock"));
    }
    queue::enqueue(conn, &ShipOrder { order_id }, shipping).await
}

/// Processing → cancelled, because nothing was or will be paid. False: it does not wait for that (any more).
async fn mark_unpaid(conn: &mut PgConnection, order_id: OrderId, story: Value) -> Result<bool> {
    let cancelled = sqlx::query_scalar!(
        r#"with cancelled as (
               update orders
                  set status = 'cancelled', cancel_reason = $2::jsonb ->> 'reason', payment_token = null,
                      event_sequence = event_sequence + 1, version = version + 1, updated_at = clock_timestamp()
                where id = $1 and status = 'processing'
               returning id, event_sequence),
           told as (
               insert into order_events (order_id, sequence, type, data)
               select id, event_sequence, 'cancelled', $2 from cancelled)
           select true as "cancelled!" from cancelled"#,
        order_id as OrderId,
        story,
    )
    .fetch_optional(conn)
    .await?;
    Ok(cancelled.is_some())
}
