//! Reservations whose time is over. An order's reservation expires with its order, so the caller cancels the orders
//! first (`orders::reap`): locks are taken on orders, then on reservations, then on stock.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::ledger::Reason;
use super::reserve::{self, MovedLine};
use crate::error::Result;
use crate::values::{OrderId, ProductId, ReservationId};

pub(crate) struct Overdue {
    pub id: ReservationId,
    pub order_id: Option<OrderId>,
    pub expires_at: DateTime<Utc>,
}

/// The next overdue reservations after a time and id, oldest first; only those of some products if they are given.
/// Reads without locks, so `expire` checks each again.
pub(crate) async fn overdue(
    conn: &mut PgConnection,
    products: Option<&[ProductId]>,
    after: Option<(DateTime<Utc>, ReservationId)>,
    limit: i64,
) -> Result<Vec<Overdue>> {
    let (after_time, after_id) = after.unzip();
    let rows = sqlx::query_as!(
        Overdue,
        r#"select r.id, r.order_id as "order_id: OrderId", r.expires_at
             from reservations r
            where r.state = 'held' and r.expires_at < now()
              and (r.expires_at, r.id) > (coalesce($1::timestamptz, '-infinity'), coalesce($2::uuid, $3))
              and ($4::uuid[] is null or exists (
                    select from reservation_lines l where l.reservation_id = r.id and l.product_id = any($4)))
            order by r.expires_at, r.id limit $5"#,
        after_time,
        after_id as Option<ReservationId>,
        Uuid::nil(),
        products as Option<&[ProductId]>,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// The reservations of orders that wait for us are prolonged by this. The reaper looks at them again each minute.
const PROLONGED_BY: Duration = Duration::from_mins(5);

/// Prolongs the reservations of orders that the caller holds locked.
pub(crate) async fn prolong(conn: &mut PgConnection, orders: &[OrderId]) -> Result<()> {
    sqlx::query!(
        "update reservations set expires_at = statement_timestamp() + make_interval(secs => $2), updated_at = statement_timestamp()
          where order_id = any($1) and state = 'held'",
        orders as &[OrderId],
        PROLONGED_BY.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many reservations have expired.
pub(crate) struct Expired {
    pub manual: usize,
    pub of_orders: usize,
}

/// Expires reservations made by hand, and those of orders that the caller holds locked, if they are still held and
/// overdue; their stock is available again.
pub(crate) async fn expire(conn: &mut PgConnection, manual: &[ReservationId], orders: &[OrderId]) -> Result<Expired> {
    let expired = sqlx::query_as!(
        MovedLine,
        r#"with locked as materialized (
               select id from reservations
                where (id = any($1) or order_id = any($2)) and state = 'held' and expires_at < clock_timestamp()
                order by id for no key update skip locked),
           moved as (
               update reservations r set state = 'expired', updated_at = statement_timestamp()
                 from locked where r.id = locked.id
               returning r.id, r.order_id)
           select moved.id, moved.order_id as "order_id: OrderId", l.product_id, l.warehouse_id, l.quantity
             from moved join reservation_lines l on l.reservation_id = moved.id"#,
        manual as &[ReservationId],
        orders as &[OrderId],
    )
    .fetch_all(&mut *conn)
    .await?;
    reserve::take_out_of_stock(conn, None, &expired, Reason::Expired).await?;
    let reservations: BTreeSet<_> = expired.iter().map(|line| (line.id, line.order_id)).collect();
    let of_orders = reservations.iter().filter(|(_, order_id)| order_id.is_some()).count();
    Ok(Expired { manual: reservations.len() - of_orders, of_orders })
}
