//! Cancelling: asked for in one transaction, carried out by a worker that voids the charge and gives the stock
//! back.

use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;

use super::jobs::CancelOrder;
use super::{OrderView, Status, read};
use crate::error::{Error, Resource, Result};
use crate::identity::principal::{Permission, Principal};
use crate::inventory::reserve;
use crate::payments::{self, Charge, Outcome};
use crate::queue::{self, Plan, Ring};
use crate::shipping;
use crate::values::{Note, OrderId};

/// Orders that one transaction of the reaper gives up: it holds them locked.
const STEP: i64 = 200;

/// Why an order is not wanted any more.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reason": "ordered twice" }))]
pub struct Cancel {
    #[schema(value_type = Option<String>)]
    pub reason: Option<Note>,
}

/// Marks an order as to be cancelled and asks a worker to do it. Repeating it changes nothing.
pub async fn cancel(
    conn: &mut PgConnection,
    caller: &Principal,
    id: OrderId,
    asked: &Cancel,
    plan: &Plan,
) -> Result<(OrderView, Option<Ring>)> {
    read::require_visible(conn, caller, id).await?;
    let held = lock(conn, id).await?;
    let ring = begin(conn, caller, held, asked.reason.as_ref(), plan).await?;
    Ok((read::get(conn, caller, id).await?, ring))
}

/// An order that nobody else moves until the transaction ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Locked {
    pub id: OrderId,
    pub status: Status,
    pub version: i32,
}

pub(super) async fn lock(conn: &mut PgConnection, id: OrderId) -> Result<Locked> {
    sqlx::query_as!(
        Locked,
        r#"select id, status as "status: Status", version from orders where id = $1 for no key update"#,
        id as OrderId,
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound(Resource::Order))
}

/// → cancelling, unless it is that already. The order was locked by a statement of its own: after the wait for
/// a lock only the locked table is fresh, and whether there is a shipment stands in another one.
pub(super) async fn begin(
    conn: &mut PgConnection,
    caller: &Principal,
    order: Locked,
    reason: Option<&Note>,
    plan: &Plan,
) -> Result<Option<Ring>> {
    match order.status {
        Status::Cancelling | Status::Cancelled => return Ok(None),
        Status::Shipped | Status::Delivered => return Err(Error::OrderNotCancellable),
        Status::Paid if shipping::is_open(conn, order.id).await? => return Err(Error::OrderNotCancellable),
        Status::Pending | Status::Processing | Status::Paid => {}
    }
    let by = if caller.may(Permission::OrdersCancel) { "staff" } else { "customer" };
    mark_cancelling(conn, &[order.id], json!({ "reason": reason, "by": by })).await?;
    queue::enqueue(conn, &CancelOrder { order_id: order.id }, plan).await
}

async fn mark_cancelling(conn: &mut PgConnection, orders: &[OrderId], story: Value) -> Result<()> {
    sqlx::query!(
        "with cancelling as (
             update orders
                set status = 'cancelling', cancel_reason = $2::jsonb ->> 'reason', payment_token = null,
                    event_sequence = event_sequence + 1, version = version + 1, updated_at = clock_timestamp()
              where id = any($1) and status in ('pending', 'processing', 'paid')
             returning id, event_sequence)
         insert into order_events (order_id, sequence, type, data)
         select id, event_sequence, 'cancelling', $2 from cancelling",
        orders as &[OrderId],
        story,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives up the orders whose stock is overdue and whose payment nobody tries any more: their payment jobs are
/// dead. The provider may have taken the money, so a worker voids it. An order whose job somebody has discarded
/// stays with staff.
pub async fn abandoned(db: &PgPool, plan: &Plan) -> Result<Vec<Ring>> {
    let mut rings = Vec::new();
    loop {
        let mut tx = db.begin().await?;
        let orders = lock_abandoned(&mut tx).await?;
        if orders.is_empty() {
            return Ok(rings);
        }
        mark_cancelling(&mut tx, &orders, json!({ "reason": "payment_failed", "by": "worker" })).await?;
        let cancellations: Vec<_> = orders.iter().map(|id| (CancelOrder { order_id: *id }, plan)).collect();
        let asked = queue::enqueue_many(&mut tx, &cancellations).await?;
        tx.commit().await?;
        rings.extend(asked);
    }
}

async fn lock_abandoned(conn: &mut PgConnection) -> Result<Vec<OrderId>> {
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

/// What is to be undone.
#[derive(Debug)]
pub enum Undo {
    /// The provider took the money, or may yet take it.
    Void(Charge),
    /// It was never asked, or has declined.
    Release,
    /// It is cancelled already.
    Nothing,
}

/// What a worker has to undo of an order. No new charge begins once an order is being cancelled.
pub async fn start(conn: &mut PgConnection, id: OrderId) -> Result<Undo> {
    let cancelling = sqlx::query_scalar!(
        r#"select exists (select from orders where id = $1 and status = 'cancelling') as "cancelling!""#,
        id as OrderId,
    )
    .fetch_one(&mut *conn)
    .await?;
    if !cancelling {
        return Ok(Undo::Nothing);
    }
    Ok(payments::to_void(conn, id).await?.map_or(Undo::Release, Undo::Void))
}

/// Cancelling → cancelled: what was charged is given back, and the stock is free. Money that was taken by hand
/// is marked as refunded: whoever took it gives it back.
pub async fn record(conn: &mut PgConnection, id: OrderId, voided: Option<&(Charge, Outcome)>) -> Result<()> {
    let payment = match voided.map(|(_, outcome)| outcome) {
        Some(Outcome::Charged) => return Err(Error::internal("the provider keeps money that was to be given back")),
        Some(Outcome::Refunded) => "refunded",
        Some(Outcome::Closed) => "voided",
        Some(Outcome::Declined { .. }) => "declined",
        None => "none",
    };
    if !mark_cancelled(conn, id, payment).await? {
        return Ok(());
    }
    if let Some((charge, outcome)) = voided {
        payments::settle(conn, charge, outcome).await?;
    }
    payments::return_by_hand(conn, id).await?;
    if reserve::release_of_orders(conn, None, &[id]).await?.is_empty() {
        return Err(Error::internal("an order was cancelled, and it held no stock"));
    }
    Ok(())
}

async fn mark_cancelled(conn: &mut PgConnection, id: OrderId, payment: &str) -> Result<bool> {
    let cancelled = sqlx::query_scalar!(
        r#"with cancelled as (
               update orders
                  set status = 'cancelled', event_sequence = event_sequence + 1, version = version + 1,
                      updated_at = clock_timestamp()
                where id = $1 and status = 'cancelling'
               returning id, event_sequence, cancel_reason),
           told as (
               insert into order_events (order_id, sequence, type, data)
               select id, event_sequence, 'cancelled', jsonb_build_object('reason', cancel_reason, 'payment', $2::text)
                 from cancelled)
           select true as "cancelled!" from cancelled"#,
        id as OrderId,
        payment,
    )
    .fetch_optional(conn)
    .await?;
    Ok(cancelled.is_some())
}
