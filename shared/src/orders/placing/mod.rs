//! Placing orders: many at once, each accepted or refused on its own, in the order of their arrival.
//!
//! A batch is one transaction with a number of statements that does not grow with it, so a hot row is
//! locked once per batch and a commit is shared. `decide` says what is accepted; `statements` has the statements.

use std::time::Duration;

use sqlx::{PgPool, PgTransaction};

pub mod decide;
pub mod statements;

use super::{NextAction, OrderItem, OrderView, Status, Who};
use crate::error::{Error, Shortage};
use crate::idempotency::{BodyHash, Key};
use crate::queue::Origin;
use crate::values::{
    Address, CustomerId, JobId, Money, OrderId, OrderNumber, PaymentToken, ProductId, Quantity, Sku, UserId,
};
use decide::{Accepted, Decider, Refusal};
use statements::Earlier;

/// The lines of one order. More are better made several orders.
pub const MAX_LINES: usize = 100;

/// An order that somebody wants to place.
#[derive(Debug, Clone)]
pub struct PlaceOrder {
    /// Made on arrival and kept over retries: it tells whether a commit whose answer was lost took place.
    pub id: OrderId,
    pub placed_by: UserId,
    pub customer_id: CustomerId,
    pub lines: Vec<OrderLine>,
    pub payment_token: PaymentToken,
    pub shipping_address: Address,
    /// No two orders of one batch may have the same key of the same caller.
    pub key: Option<(Key, BodyHash)>,
    pub origin: Origin,
}

#[derive(Debug, Clone)]
pub struct OrderLine {
    pub product: ProductRef,
    pub quantity: Quantity,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProductRef {
    Id(ProductId),
    Sku(Sku),
}

/// What holds for every order.
#[derive(Debug, Clone)]
pub struct PlacingTerms {
    pub reservation_ttl: Duration,
    /// Unpaid orders of one customer; 0: no limit.
    pub max_open_orders: u32,
    pub max_attempts: i32,
}

/// What came of one order.
#[derive(Debug)]
pub enum Placement {
    /// The order, and the job that charges for it; none where the order was found to stand after a lost
    /// answer: the sweep rings for that one.
    Placed(Box<OrderView>, Option<JobId>),
    /// Placed before under the same key: its first answer.
    Replayed(Box<OrderView>),
    Refused(Error),
    /// Its key or its customer is in another batch right now; to be tried with the next one.
    Busy,
}

/// Places a batch. Whatever fails, every order has its own answer.
pub async fn place(db: &PgPool, batch: &[PlaceOrder], terms: &PlacingTerms) -> Vec<Placement> {
    let tries = settle(db, batch, terms).await;
    let short: Vec<usize> = (0..batch.len()).filter(|i| matches!(tries[*i], Try::Short(..))).collect();
    let freed = !short.is_empty() && free_overdue_stock(db, &tries).await;
    let again: Vec<PlaceOrder> = short.iter().map(|i| batch[*i].clone()).collect();
    let mut seconds = if freed { settle(db, &again, terms).await } else { Vec::new() }.into_iter();
    tries
        .into_iter()
        .map(|first| match first {
            Try::Short(..) if freed => seconds.next().expect("one try for each short order").placement(),
            first => first.placement(),
        })
        .collect()
}

/// What one transaction made of an order.
enum Try {
    Done(Placement),
    Short(Vec<Shortage>),
}

impl Try {
    fn placement(self) -> Placement {
        match self {
            Self::Done(placement) => placement,
            Self::Short(shortages) => Placement::Refused(Error::InsufficientStock(shortages)),
        }
    }
}

/// A dead reaper must not block a sale: stock that is held past its time is freed by whoever needs it.
async fn free_overdue_stock(db: &PgPool, tries: &[Try]) -> bool {
    let products: Vec<ProductId> = tries
        .iter()
        .filter_map(|one| if let Try::Short(shortages) = one { Some(shortages) } else { None })
        .flatten()
        .map(|shortage| ProductId(shortage.product_id))
        .collect();
    super::reap::overdue_of_products(db, &products).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "overdue reservations could not be expired: {error}");
        false
    })
}

/// Tries the batch, once more if the moment was bad, one by one if its data were.
async fn settle(db: &PgPool, batch: &[PlaceOrder], terms: &PlacingTerms) -> Vec<Try> {
    let failure = match attempt(db, batch, terms, false).await {
        Ok(tries) => return tries,
        Err(failure) => failure,
    };
    tracing::warn!(orders = batch.len(), error = %failure.error, in_doubt = failure.in_doubt, "a batch failed: {}", failure.error);
    if !failure.in_doubt && failure.error.is_about_data() {
        return one_by_one(db, batch, terms).await;
    }
    match attempt(db, batch, terms, true).await {
        Ok(tries) => tries,
        Err(second) => {
            tracing::error!(orders = batch.len(), error = %second.error, "a batch failed again: {}", second.error);
            let in_doubt = failure.in_doubt || second.in_doubt;
            batch.iter().map(|_| Try::Done(Placement::Refused(second.answer(in_doubt)))).collect()
        }
    }
}

/// So that an order whose data cannot be stored fails alone.
async fn one_by_one(db: &PgPool, batch: &[PlaceOrder], terms: &PlacingTerms) -> Vec<Try> {
    let mut tries = Vec::with_capacity(batch.len());
    for order in batch {
        match attempt(db, std::slice::from_ref(order), terms, false).await {
            Ok(one) => tries.extend(one),
            Err(failure) => tries.push(Try::Done(Placement::Refused(failure.answer(failure.in_doubt)))),
        }
    }
    tries
}

struct BatchFailure {
    error: Error,
    /// The commit was sent and its answer did not come: the orders may stand or not.
    in_doubt: bool,
}

impl BatchFailure {
    fn answer(&self, in_doubt: bool) -> Error {
        if in_doubt { Error::OutcomeUnknown } else { self.error.clone() }
    }
}

impl<E: Into<Error>> From<E> for BatchFailure {
    fn from(error: E) -> Self {
        Self { error: error.into(), in_doubt: false }
    }
}

/// One transaction, or none of it.
///
/// `again`: an earlier attempt may have been committed, so what exists is looked up first, under the lock of
/// the stock that the earlier attempt would still hold.
async fn attempt(
    db: &PgPool,
    batch: &[PlaceOrder],
    terms: &PlacingTerms,
    again: bool,
) -> Result<Vec<Try>, BatchFailure> {
    let mut tx = db.begin().await?;
    match transact(&mut tx, batch, terms, again).await {
        Ok((tries, true)) => {
            tx.commit().await.map_err(|error| BatchFailure { error: error.into(), in_doubt: true })?;
            Ok(tries)
        }
        Ok((tries, false)) => {
            tx.rollback().await?; // Nothing to keep: the keys are free again.
            Ok(tries)
        }
        Err(failure) => {
            // A transaction that is only dropped ends a moment later, and the next attempt would find its keys taken.
            drop(tx.rollback().await);
            Err(failure)
        }
    }
}

/// Keys, stock under lock, prices, and everything written by one statement. Tells what came of each, and whether
/// to commit: also where orders were only found. After a crash they may be here and not on the standby. This
/// transaction has locked their stock, which is written to the log after them, so its commit waits for them too.
async fn transact(
    tx: &mut PgTransaction<'_>,
    batch: &[PlaceOrder],
    terms: &PlacingTerms,
    again: bool,
) -> Result<(Vec<Try>, bool), BatchFailure> {
    let claimed = statements::claim(tx, batch, terms).await?;
    let mut earlier = statements::earlier(tx, batch, &claimed).await?;
    let stock = statements::lock_stock(tx, batch).await?;
    if again {
        earlier.extend(statements::existing(tx, batch).await?);
    }
    let present = statements::present(tx, batch, terms).await?;
    let mut decider = Decider::new(present, &stock, terms.max_open_orders);

    let decisions: Vec<Decision> = batch
        .iter()
        .map(|order| match earlier.remove(&order.id) {
            Some(earlier) => Decision::Earlier(earlier),
            None if !claimed.holds(order) => Decision::Busy,
            None => match decider.decide(order) {
                Ok(accepted) => Decision::Accepted(accepted),
                Err(refusal) => Decision::Refused(refusal),
            },
        })
        .collect();

    let accepted: Vec<_> = batch
        .iter()
        .zip(&decisions)
        .filter_map(|(order, decision)| match decision {
            Decision::Accepted(accepted) => Some((order, accepted)),
            _ => None,
        })
        .collect();
    let found = decisions.iter().any(|decision| matches!(decision, Decision::Earlier(_)));
    if accepted.is_empty() && !found {
        return Ok((answers(batch, decisions, &[]), false));
    }
    let freed = batch.iter().zip(&decisions).filter(|(order, decision)| decision.frees_key() && claimed.has_key(order));
    let freed: Vec<_> = freed.map(|(order, _)| order).collect();
    let written = match (&*accepted, &*freed) {
        ([], []) => Vec::new(),
        (accepted, freed) => statements::write(tx, accepted, freed, terms).await?,
    };
    Ok((answers(batch, decisions, &written), true))
}

enum Decision {
    Earlier(Earlier),
    Busy,
    Accepted(Accepted),
    Refused(Refusal),
}

impl Decision {
    fn frees_key(&self) -> bool {
        matches!(self, Self::Busy | Self::Refused(_))
    }
}

fn answers(batch: &[PlaceOrder], decisions: Vec<Decision>, written: &[statements::Written]) -> Vec<Try> {
    let mut written = written.iter();
    batch
        .iter()
        .zip(decisions)
        .map(|(order, decision)| match decision {
            Decision::Earlier(Earlier::Ours(view)) => Try::Done(Placement::Placed(view, None)),
            Decision::Earlier(Earlier::Replay(view)) => Try::Done(Placement::Replayed(view)),
            Decision::Earlier(Earlier::OtherBody) => Try::Done(Placement::Refused(Error::IdempotencyKeyReused)),
            Decision::Busy => Try::Done(Placement::Busy),
            Decision::Accepted(accepted) => {
                let written = written.next().expect("`write` answers for each accepted order, in order");
                Try::Done(Placement::Placed(Box::new(view(order, accepted, written)), Some(written.job_id)))
            }
            Decision::Refused(Refusal::Final(error)) => Try::Done(Placement::Refused(error)),
            Decision::Refused(Refusal::Short(shortages)) => Try::Short(shortages),
        })
        .collect()
}

fn view(order: &PlaceOrder, accepted: Accepted, written: &statements::Written) -> OrderView {
    let currency = accepted.total.currency;
    as_placed(OrderView {
        id: order.id,
        number: OrderNumber(written.number).to_string(),
        status: Status::Pending,
        customer_id: order.customer_id,
        customer: None,
        items: accepted
            .items
            .into_iter()
            .map(|item| OrderItem {
                product_id: item.product_id,
                sku: item.sku,
                name: item.name,
                quantity: item.quantity,
                unit_price: Money { amount: item.unit_price_minor, currency },
                total: Money { amount: item.total_minor, currency },
            })
            .collect(),
        total: accepted.total,
        shipping_address: order.shipping_address.clone(),
        payment: None,
        shipments: Vec::new(),
        cancel_reason: None,
        next_action: None,
        version: 1,
        created_at: written.created_at,
        updated_at: written.created_at,
    })
}

/// The order as it was answered when it was placed, whatever became of it. What a replay answers is made
/// from what never changes, so it needs no copy of the first answer.
pub(super) fn as_placed(order: OrderView) -> OrderView {
    OrderView {
        status: Status::Pending,
        customer: None,
        payment: None,
        shipments: Vec::new(),
        cancel_reason: None,
        next_action: Some(NextAction { what: "payment".to_owned(), by: Who::Worker, due_at: order.created_at }),
        version: 1,
        updated_at: order.created_at,
        ..order
    }
}
