//! The reaper: ends reservations whose time is over, by the database's clock, and with an order's
//! reservation the order. It tidies; a sale does not wait for it (`overdue_of_products`).

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use super::expire;
use crate::error::{Error, Result};
use crate::inventory::ledger::Reason;
use crate::inventory::reserve::{self, MovedLine};
use crate::values::{OrderId, ProductId, ReservationId};

/// Reservations in one transaction: it holds their stock locked, and others want to sell meanwhile.
const STEP: i64 = 200;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"released_reservations": 3}))]
pub struct Reaped {
    pub released_reservations: i64,
}

/// Ends everything that is overdue, step by step. What somebody else is moving right now is left to them.
pub async fn run(db: &PgPool) -> Result<Reaped> {
    let released_reservations = pass(db, None).await?;
    Ok(Reaped { released_reservations })
}

/// Ends what is overdue of these products, in transactions of its own; tells whether that was anything.
///
/// Never call it under a lock on stock: here orders and reservations are locked, which come before.
pub async fn overdue_of_products(db: &PgPool, products: &[ProductId]) -> Result<bool> {
    Ok(pass(db, Some(products)).await? > 0)
}

/// Goes through the overdue once, oldest first, whether they could be ended or not: so it comes to an end.
async fn pass(db: &PgPool, products: Option<&[ProductId]>) -> Result<i64> {
    let mut ended = 0;
    let mut after = None;
    loop {
        let overdue = overdue(&mut *db.acquire().await?, products, after).await?;
        let Some(last) = overdue.last() else { return Ok(ended) };
        after = Some((last.expires_at, last.id));
        let mut tx = db.begin().await?;
        ended += expire(&mut tx, &overdue).await?;
        tx.commit().await?;
    }
}

struct Overdue {
    id: ReservationId,
    order_id: Option<OrderId>,
    expires_at: DateTime<Utc>,
}

/// The next step's worth. Read without locks; whoever ends them looks again.
async fn overdue(
    conn: &mut PgConnection,
    products: Option<&[ProductId]>,
    after: Option<(DateTime<Utc>, ReservationId)>,
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
        STEP,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Ends these if they still are overdue: orders first, then their reservations and those made by hand, then stock.
async fn expire(conn: &mut PgConnection, overdue: &[Overdue]) -> Result<i64> {
    let orders: Vec<OrderId> = overdue.iter().filter_map(|overdue| overdue.order_id).collect();
    let cancelled = expire::expire(conn, &orders).await?;
    let by_hand = overdue.iter().filter(|overdue| overdue.order_id.is_none()).map(|overdue| overdue.id).collect();
    let ended = end(conn, by_hand, &cancelled).await?;
    let mut ids: Vec<(ReservationId, Option<OrderId>)> = ended.iter().map(|line| (line.id, line.order_id)).collect();
    ids.sort();
    ids.dedup();
    if ids.iter().filter(|(_, order_id)| order_id.is_some()).count() != cancelled.len() {
        return Err(Error::internal("an order expired without its reservation"));
    }
    reserve::settle(conn, None, &ended, Reason::Expired).await?;
    Ok(i64::try_from(ids.len()).expect("a step is small"))
}

async fn end(conn: &mut PgConnection, by_hand: Vec<ReservationId>, orders: &[OrderId]) -> Result<Vec<MovedLine>> {
    let ended = sqlx::query_as!(
        MovedLine,
        r#"with here as materialized (
               select id from reservations
                where (id = any($1) or order_id = any($2)) and state = 'held' and expires_at < clock_timestamp()
                order by id for no key update skip locked),
           moved as (
               update reservations r set state = 'expired', updated_at = clock_timestamp()
                 from here where r.id = here.id
               returning r.id, r.order_id)
           select moved.id, moved.order_id as "order_id: OrderId", l.product_id, l.warehouse_id, l.quantity
             from moved join reservation_lines l on l.reservation_id = moved.id"#,
        by_hand as Vec<ReservationId>,
        orders as &[OrderId],
    )
    .fetch_all(conn)
    .await?;
    Ok(ended)
}
