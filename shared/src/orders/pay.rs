//! Paying for an order. Its charge is written before the provider is called, and the provider's answer is recorded
//! together with what follows from it. Erases payment tokens that nobody needs any more.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgConnection;

use super::event::{Event, PAYMENT_DECLINED, PAYMENT_VOIDED, PaymentEnd};
use super::jobs::{ProcessPayment, ShipOrder};
use super::status::{Edge, Status};
use super::transition::{self, Moved};
use crate::error::{Error, Result};
use crate::inventory::reserve;
use crate::page;
use crate::payments::{self, Charge, Opened, Outcome};
use crate::principal::Principal;
use crate::queue::claim;
use crate::queue::settle::{self, Recorded, Room};
use crate::queue::{self, LeasedJob, Plan, Ring};
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

/// Pending → processing, and writes the charges that are about to be asked for. Repeating it returns the same charges.
pub async fn start(conn: &mut PgConnection, orders: &[OrderId]) -> Result<HashMap<OrderId, Start>> {
    let events: Vec<_> = orders.iter().map(|id| (*id, Event::Processing { by_hand: false })).collect();
    let moved = transition::advance(conn, Edge::START_PAYMENT, &events, &Principal::system()).await?;
    let mut unpaid: HashMap<OrderId, Unpaid> = moved.into_iter().map(|order| (order.id, Unpaid::from(order))).collect();
    let moved_before: Vec<OrderId> = orders.iter().copied().filter(|id| !unpaid.contains_key(id)).collect();
    unpaid.extend(lock_processing(conn, &moved_before).await?);

    let amounts: Vec<(OrderId, Money)> = unpaid.iter().map(|(id, order)| (*id, order.total)).collect();
    let mut opened = payments::open(conn, &amounts).await?;
    let over: Vec<OrderId> = orders.iter().copied().filter(|id| !unpaid.contains_key(id)).collect();
    let mut to_void = payments::to_void_if_paid_manually(conn, &over).await?;
    let mut start = |id: &OrderId| match (opened.remove(id), unpaid.remove(id)) {
        (Some(opened), Some(order)) => Start::Charge { opened, token: order.token, customer_id: order.customer_id },
        _ => to_void.remove(id).map_or(Start::Nothing, Start::Void),
    };
    Ok(orders.iter().map(|id| (*id, start(id))).collect())
}

struct Unpaid {
    total: Money,
    token: Option<PaymentToken>,
    customer_id: CustomerId,
}

impl From<Moved> for Unpaid {
    fn from(order: Moved) -> Self {
        Self { total: order.total, token: order.payment_token, customer_id: order.customer_id }
    }
}

/// Staff say that a payment is under way. The payment job goes on as before.
pub(super) async fn begin_manually(conn: &mut PgConnection, staff: &Principal, order_id: OrderId) -> Result<()> {
    let event = Event::Processing { by_hand: true };
    transition::advance(conn, Edge::START_PAYMENT, &[(order_id, event)], staff).await?;
    Ok(())
}

/// Locks those of these orders that are being charged.
async fn lock_processing(conn: &mut PgConnection, orders: &[OrderId]) -> Result<Vec<(OrderId, Unpaid)>> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"select id as "id: OrderId", total_minor, currency, payment_token, customer_id from orders
            where id = any($1) and status = 'processing' order by id for no key update"#,
        orders as &[OrderId],
    )
    .fetch_all(conn)
    .await?;
    let unpaid = rows.into_iter().map(|row| {
        let unpaid = Unpaid {
            total: Money::stored(row.total_minor, &row.currency),
            token: row.payment_token.map(PaymentToken::stored),
            customer_id: row.customer_id.into(),
        };
        (row.id, unpaid)
    });
    Ok(unpaid.collect())
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
    // Only unpaid orders have a token. Ids begin with the time, so the index on stage and id finds the old ones.
    let erased = sqlx::query!(
        "update orders set payment_token = null where id = any(array(
             select id from orders
              where status = any($1) and stage = any($4) and id < $2 and payment_token is not null
              order by id limit $3 for no key update skip locked))",
        &Status::names(Status::is_unpaid) as &[&str],
        page::first_id_at(now - older_than),
        limit,
        &Status::stages(Status::is_unpaid) as &[&str],
    )
    .execute(conn)
    .await?;
    Ok(erased.rows_affected())
}

/// What the provider answered about the charge of an order, and the attempt that asked.
#[derive(Debug, Clone)]
pub struct Answered {
    pub job: LeasedJob,
    pub charge: Charge,
    pub outcome: Outcome,
    /// For the job that ships the order.
    pub shipping: Plan,
}

impl Answered {
    fn is_charged(&self) -> bool {
        self.outcome == Outcome::Charged
    }

    /// The order with what its timeline says if it moves. The reason tells what became of the payment, except that
    /// `payment_voided` may mean that money was given back.
    fn event(&self) -> (OrderId, Event) {
        let cancelled = |reason: &str, payment, declined: Option<&String>| Event::Cancelled {
            reason: Some(reason.to_owned()),
            payment,
            declined: declined.cloned(),
        };
        let event = match &self.outcome {
            Outcome::Charged => Event::Paid { charge_id: Some(self.charge.id), by_hand: false },
            Outcome::Declined { reason } => cancelled(PAYMENT_DECLINED, None, Some(reason)),
            Outcome::Closed => cancelled(PAYMENT_VOIDED, None, None),
            Outcome::Refunded => cancelled(PAYMENT_VOIDED, Some(PaymentEnd::Refunded), None),
        };
        (self.charge.order_id, event)
    }
}

/// Finishes the jobs, records what the provider answered, and moves the orders that still wait for that. If an order was
/// cancelled meanwhile, only its charge is recorded; the cancellation then gives the money back.
///
/// The jobs that ship the orders follow. As many as there is room for are claimed at once by the worker that asks.
pub async fn record(conn: &mut PgConnection, batch: &[Answered], room: Option<Room<'_>>) -> Result<Recorded> {
    let finished = settle::finish_all(conn, batch.iter().map(|answered| &answered.job)).await?;
    let ours: Vec<&Answered> = batch.iter().filter(|answered| finished.contains(&answered.job.id)).collect();
    let (charged, declined): (Vec<&Answered>, Vec<&Answered>) = ours.iter().partition(|answered| answered.is_charged());
    if !charged.is_empty() && !declined.is_empty() {
        // Two statements follow that lock orders. All locks are taken here, in their one order.
        transition::lock_all(conn, &ours.iter().map(|answered| answered.charge.order_id).collect::<Vec<_>>()).await?;
    }
    let paid = move_along(conn, Edge::PAY, &charged).await?;
    let given_up = move_along(conn, Edge::DECLINE, &declined).await?;
    let answers: Vec<(&Charge, &Outcome)> = ours.iter().map(|answered| (&answered.charge, &answered.outcome)).collect();
    payments::record_outcomes(conn, &answers).await?;
    if reserve::release_of_orders(conn, None, &given_up).await?.len() != given_up.len() {
        return Err(Error::internal("an order was declined, and it held no stock"));
    }
    let following: Vec<(OrderId, &Plan)> = charged
        .iter()
        .filter(|answered| paid.contains(&answered.charge.order_id))
        .map(|answered| (answered.charge.order_id, &answered.shipping))
        .collect();
    let (rings, claimed) = follow_paid(conn, &following, room).await?;
    Ok(Recorded { finished, rings, claimed })
}

async fn move_along(conn: &mut PgConnection, edge: Edge, answered: &[&Answered]) -> Result<Vec<OrderId>> {
    let events: Vec<_> = answered.iter().map(|answered| answered.event()).collect();
    let moved = transition::advance(conn, edge, &events, &Principal::system()).await?;
    Ok(moved.into_iter().map(|order| order.id).collect())
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
    if payments::to_void(conn, &[order_id]).await?.contains_key(&order_id) {
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
    rings.extend(follow_paid(conn, &[(order_id, plan)], None).await?.0);
    Ok(rings)
}

/// What follows when orders have just become paid: their reservations do not expire any more, and a job ships each.
async fn follow_paid(
    conn: &mut PgConnection,
    paid: &[(OrderId, &Plan)],
    room: Option<Room<'_>>,
) -> Result<(Vec<Ring>, Vec<LeasedJob>)> {
    let orders: Vec<OrderId> = paid.iter().map(|(order_id, _)| *order_id).collect();
    if reserve::post_of_orders(conn, &orders).await?.len() != orders.len() {
        return Err(Error::internal("an order was paid, and it held no stock"));
    }
    let jobs: Vec<_> = paid.iter().map(|(order_id, plan)| (ShipOrder { order_id: *order_id }, *plan)).collect();
    let (own, others) = jobs.split_at(room.map_or(0, |room| room.jobs).min(jobs.len()));
    let claimed = match room {
        Some(room) => claim::enqueue_own(conn, own, room.claimer).await?,
        None => Vec::new(),
    };
    Ok((queue::enqueue_many(conn, others).await?, claimed))
}
