//! The reaper: expires overdue reservations, by the database's clock, and cancels the orders that they were for.
//! Also how a sale that is short of stock frees what is overdue, since it must not depend on a running reaper.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;

use super::event::{Event, PAYMENT_FAILED, RESERVATION_EXPIRED};
use super::jobs::{CancelOrder, ProcessPayment};
use super::status::Edge;
use super::transition;
use crate::actions::{self, Action};
use crate::error::{Error, Result, Shortage};
use crate::inventory::expire;
use crate::principal::Principal;
use crate::queue::heartbeat::{self, Attendance};
use crate::queue::{self, Job, Plan, Ring};
use crate::values::{OrderId, ProductId, ReservationId};

/// Orders or reservations in one transaction. It holds their stock locked, and others want to sell meanwhile.
const STEP: i64 = 200;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"released_reservations": 3}))]
pub struct Reaped {
    pub released_reservations: i64,
}

/// Expires everything that is overdue and gives up the orders whose payment has failed for good, in transactions of
/// its own. Rows that another transaction holds are skipped. The rings are for the jobs that cancel orders.
pub async fn reap(db: &PgPool, plan: &Plan) -> Result<(Reaped, Vec<Ring>)> {
    let released_reservations = expire_overdue(db, None).await?;
    let rings = give_up_unpaid(db, plan).await?;
    Ok((Reaped { released_reservations }, rings))
}

/// As `reap`, for a person: records that they ran it, unless there was nothing to do.
pub async fn reap_manually(
    db: &PgPool,
    conn: &mut PgConnection,
    staff: &Principal,
    plan: &Plan,
) -> Result<(Reaped, Vec<Ring>)> {
    let (reaped, rings) = reap(db, plan).await?;
    if reaped.released_reservations > 0 || !rings.is_empty() {
        let data = json!({ "released_reservations": reaped.released_reservations, "cancelled_orders": rings.len() });
        actions::record(conn, staff, Action::new("reaper.run", "reaper", "reservations").data(data)).await?;
    }
    Ok((reaped, rings))
}

/// Expires what is overdue of products that a sale is short of, in transactions of its own. True: it freed
/// something, so the sale is worth another try.
///
/// Never call it inside a transaction that has locked stock: orders and reservations are locked before stock. And a
/// savepoint is not enough: many sales that are short would each hold a connection while they wait for a second one.
pub async fn free_overdue(db: &PgPool, short: &[Shortage]) -> Result<bool> {
    let products: BTreeSet<ProductId> = short.iter().map(|shortage| ProductId(shortage.product_id)).collect();
    let products: Vec<ProductId> = products.into_iter().collect();
    Ok(expire_overdue(db, Some(&products)).await? > 0)
}

/// One keyset pass over the overdue reservations, oldest first. Each is looked at once, whether it could be expired or
/// not, so the loop always ends. Returns how many expired.
async fn expire_overdue(db: &PgPool, products: Option<&[ProductId]>) -> Result<i64> {
    let mut expired = 0;
    let mut after = None;
    loop {
        let overdue = expire::overdue(&mut *db.acquire().await?, products, after, STEP).await?;
        let Some(last) = overdue.last() else { return Ok(expired) };
        after = Some((last.expires_at, last.id));
        let orders: Vec<OrderId> = overdue.iter().filter_map(|overdue| overdue.order_id).collect();
        let manual: Vec<ReservationId> =
            overdue.iter().filter(|overdue| overdue.order_id.is_none()).map(|overdue| overdue.id).collect();
        let mut tx = db.begin().await?;
        let cancelled = cancel_expired(&mut tx, &orders).await?;
        let ended = expire::expire(&mut tx, &manual, &cancelled).await?;
        if ended.of_orders != cancelled.len() {
            return Err(Error::internal("an order expired without its reservation"));
        }
        tx.commit().await?;
        expired += i64::try_from(ended.of_orders + ended.manual).expect("a step is small");
    }
}

/// How long after its placing an order is kept because we are slow. After that its stock is worth more to others.
const KEPT_FOR: Duration = Duration::from_hours(4);

/// Cancels those of these orders that are still pending, and keeps them locked. An order that is being charged is left
/// to its payment job.
///
/// An order whose payment no worker has begun waits for us, not for its buyer: it keeps its stock. Its job may be due, or be
/// tried again later because we could not reach the database. That is so while there are workers that will come to it.
/// Without any, or while staff have paused the queue, nobody knows when it will be paid. As long as we cannot tell, the order
/// is left alone.
async fn cancel_expired(conn: &mut PgConnection, orders: &[OrderId]) -> Result<Vec<OrderId>> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"select o.id as "id: OrderId",
                  (o.created_at > now() - make_interval(secs => $2)
                   and exists (select from jobs j
                                where j.order_id = o.id and j.kind = $3 and j.state in ('ready', 'running')
                                  and (j.run_at <= now() or j.attempt > 0))) as "waits_for_us!"
             from orders o where o.id = any($1) and o.status = 'pending'
            order by o.id for no key update of o skip locked"#,
        orders as &[OrderId],
        KEPT_FOR.as_secs_f64(),
        ProcessPayment::KIND,
    )
    .fetch_all(&mut *conn)
    .await?;
    let (ours, theirs): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.waits_for_us);
    let ours: Vec<OrderId> = ours.iter().map(|row| row.id).collect();
    let mut pending: Vec<OrderId> = theirs.iter().map(|row| row.id).collect();
    if !ours.is_empty() {
        match heartbeat::attendance(conn, ProcessPayment::QUEUE).await? {
            Attendance::Attended => {
                expire::prolong(conn, &ours).await?;
                tracing::warn!(
                    orders = ours.len(),
                    "payments are behind, so {} reservations were prolonged",
                    ours.len()
                );
            }
            Attendance::Unknown => {}
            Attendance::Unattended => pending.extend(ours),
        }
    }
    let reason = Some(RESERVATION_EXPIRED.to_owned());
    let event = Event::Cancelled { reason, payment: None, declined: None };
    let expired: Vec<_> = pending.iter().map(|id| (*id, event.clone())).collect();
    transition::advance(conn, Edge::EXPIRE, &expired, &Principal::system()).await?;
    Ok(pending)
}

/// Cancels the orders whose reservation is overdue and whose payment job is dead. The provider may have taken the
/// money, so a job voids it. An order whose job was discarded stays with staff.
async fn give_up_unpaid(db: &PgPool, plan: &Plan) -> Result<Vec<Ring>> {
    let mut rings = Vec::new();
    loop {
        let mut tx = db.begin().await?;
        let orders = lock_unpaid(&mut tx).await?;
        if orders.is_empty() {
            return Ok(rings);
        }
        let event = Event::Cancelling { reason: Some(PAYMENT_FAILED.to_owned()) };
        let given_up: Vec<_> = orders.iter().map(|id| (*id, event.clone())).collect();
        transition::advance(&mut tx, Edge::CANCEL, &given_up, &Principal::system()).await?;
        let cancellations: Vec<_> = orders.iter().map(|id| (CancelOrder { order_id: *id }, plan)).collect();
        let enqueued = queue::enqueue_many(&mut tx, &cancellations).await?;
        tx.commit().await?;
        rings.extend(enqueued);
    }
}

async fn lock_unpaid(conn: &mut PgConnection) -> Result<Vec<OrderId>> {
    Ok(sqlx::query_scalar!(
        r#"select o.id as "id: OrderId"
             from reservations r
             join orders o on o.id = r.order_id
            where r.state = 'held' and r.expires_at < now() and o.status = 'processing'
              and (select bool_or(j.state = 'dead') and not bool_or(j.state in ('ready', 'running'))
                     from jobs j where j.order_id = o.id and j.kind = 'process_payment' and j.state <> 'done')
            order by o.id limit $1
              for no key update of o skip locked"#,
        STEP,
    )
    .fetch_all(conn)
    .await?)
}
