//! Orders that nobody paid for in time: cancelled together with the end of their reservations.

use sqlx::PgConnection;

use crate::error::Result;
use crate::values::OrderId;

/// Cancels those of these orders that still wait for payment; tells which.
///
/// An order that somebody is moving right now is left to them, and one that is being charged to its charge.
/// The orders stay locked, so the caller ends their reservations in the same transaction.
pub(crate) async fn expire(conn: &mut PgConnection, orders: &[OrderId]) -> Result<Vec<OrderId>> {
    let expired = sqlx::query_scalar!(
        r#"with waiting as materialized (
               select id from orders where id = any($1) and status = 'pending'
                order by id for no key update skip locked),
           expired as (
               update orders o
                  set status = 'cancelled', cancel_reason = 'reservation_expired', payment_token = null,
                      event_sequence = o.event_sequence + 1, version = o.version + 1, updated_at = clock_timestamp()
                 from waiting where o.id = waiting.id
               returning o.id, o.event_sequence),
           told as (
               insert into order_events (order_id, sequence, type, data)
               select id, event_sequence, 'cancelled', '{"reason": "reservation_expired"}' from expired)
           select id as "id: OrderId" from expired"#,
        orders as &[OrderId],
    )
    .fetch_all(conn)
    .await?;
    Ok(expired)
}
