//! One transaction that places a batch, or none of it.

use std::collections::HashMap;

use sqlx::{PgPool, PgTransaction};

use super::super::status::Status;
use super::super::{OrderItem, OrderView};
use super::decide::{Accepted, Decider, StockRow};
use super::request::{PlaceOrder, Placement, PlacingTerms, as_placed};
use super::statements::{self, TakenKeys};
use super::write::{Written, write};
use crate::error::Error;
use crate::inventory::news;
use crate::values::{Money, OrderId, OrderNumber, ProductId, WarehouseId};

/// A transaction that failed.
pub(super) struct Failed {
    pub error: Error,
    /// The commit was sent and its answer was lost: the orders may have been placed.
    pub in_doubt: bool,
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { error: error.into(), in_doubt: false }
    }
}

/// Places a batch in one transaction, and answers for each order in the order of the batch.
///
/// `again`: an earlier attempt may have been committed. Then orders that exist are looked up first, under the locks on
/// stock, for which this transaction has waited until the earlier attempt ended.
pub(super) async fn attempt(
    db: &PgPool,
    batch: &[PlaceOrder],
    terms: &PlacingTerms,
    again: bool,
) -> Result<Vec<Placement>, Failed> {
    let mut tx = db.begin().await?;
    match transact(&mut tx, batch, terms, again).await {
        Ok(placements) if placements.iter().any(must_commit) => {
            tx.commit().await.map_err(|error| Failed { error: error.into(), in_doubt: true })?;
            Ok(placements)
        }
        Ok(placements) => {
            tx.rollback().await?; // Nothing to keep: the keys are free again.
            Ok(placements)
        }
        Err(failed) => {
            // Dropping the transaction would end it a moment later, and the next attempt would find its keys taken.
            drop(tx.rollback().await);
            Err(failed)
        }
    }
}

/// Also where an order was only found: after a crash of the primary it may be missing on the standby. This transaction
/// has written locks on its stock after it, so once this commit is replicated the order is too.
fn must_commit(placement: &Placement) -> bool {
    matches!(placement, Placement::Placed(..) | Placement::Replayed(_))
}

/// What is to be done about one order.
enum Decision {
    Write(Accepted),
    Answer(Placement),
}

async fn transact(
    tx: &mut PgTransaction<'_>,
    batch: &[PlaceOrder],
    terms: &PlacingTerms,
    again: bool,
) -> Result<Vec<Placement>, Failed> {
    let taken = statements::take_keys(tx, batch, terms).await?;
    let mut answered = statements::placed_under_keys(tx, batch, &taken).await?;
    if !again {
        answered.extend(refuse_early(batch, &taken, &answered, terms));
    }
    // What is refused already must not lock stock that others want to buy.
    let rest: Vec<&PlaceOrder> =
        batch.iter().filter(|order| !matches!(answered.get(&order.id), Some(Placement::Refused(_)))).collect();
    if rest.is_empty() {
        return Ok(batch.iter().filter_map(|order| answered.remove(&order.id)).collect());
    }
    let stock = statements::lock_stock(tx, &rest).await?;
    if again {
        answered.extend(statements::existing(tx, batch).await?);
    }
    let present = statements::present(tx, &rest, terms).await?;
    let mut decider = Decider::new(present, &stock, terms);

    let mut decisions = Vec::with_capacity(batch.len());
    for order in batch {
        decisions.push(match answered.remove(&order.id) {
            Some(placement) => Decision::Answer(placement),
            None if !taken.has_all_of(order) => Decision::Answer(Placement::Busy),
            None => match decider.decide(order) {
                Ok(accepted) => Decision::Write(accepted),
                Err(error) => Decision::Answer(Placement::Refused(error)),
            },
        });
    }

    let (mut accepted, mut keys_to_free, mut found) = (Vec::new(), Vec::new(), false);
    for (order, decision) in batch.iter().zip(&decisions) {
        match decision {
            Decision::Write(one) => accepted.push((order, one)),
            Decision::Answer(placement) if must_commit(placement) => found = true,
            // Only successes are remembered.
            Decision::Answer(_) if taken.has_key(order) => keys_to_free.push(order),
            Decision::Answer(_) => {}
        }
    }
    let mut written = if accepted.is_empty() && (keys_to_free.is_empty() || !found) {
        HashMap::new()
    } else {
        write_and_tell(tx, &accepted, &keys_to_free, &stock, terms).await?
    };
    let answer = |(order, decision): (&PlaceOrder, Decision)| match decision {
        Decision::Write(accepted) => {
            let row = written.remove(&order.id).expect("`write` answers for each accepted order");
            Placement::Placed(Box::new(view(order, accepted, &row)), Some(row.job_id))
        }
        Decision::Answer(placement) => placement,
    };
    Ok(batch.iter().zip(decisions).map(answer).collect())
}

/// Writes the accepted orders, and tells the feed which rows of stock have become low.
async fn write_and_tell(
    tx: &mut PgTransaction<'_>,
    accepted: &[(&PlaceOrder, &Accepted)],
    keys_to_free: &[&PlaceOrder],
    stock: &[StockRow],
    terms: &PlacingTerms,
) -> Result<HashMap<OrderId, Written>, Error> {
    let written = write(tx, accepted, keys_to_free, terms).await?;
    news::became_low(tx, &low(stock, accepted)).await?;
    Ok(written)
}

/// The rows of stock that these orders bring down to their reorder level. Most batches have none, so the feed costs them
/// no statement.
fn low(stock: &[StockRow], accepted: &[(&PlaceOrder, &Accepted)]) -> Vec<(ProductId, WarehouseId)> {
    let mut taken: HashMap<(ProductId, WarehouseId), i32> = HashMap::new();
    for one in accepted.iter().flat_map(|(_, accepted)| &accepted.sourced.allocations) {
        *taken.entry((one.product_id, one.warehouse_id)).or_default() += one.quantity;
    }
    let is_low = |row: &&StockRow| {
        let (before, units) = (row.on_hand - row.reserved, taken.get(&(row.product_id, row.warehouse_id)));
        units.is_some_and(|units| news::makes_low(before, before - units, row.reorder_level))
    };
    stock.iter().filter(is_low).map(|row| (row.product_id, row.warehouse_id)).collect()
}

/// The refusals that need no stock to be known. Not for a second attempt: the first one may have placed the orders, and
/// then their customers hold them already.
fn refuse_early(
    batch: &[PlaceOrder],
    taken: &TakenKeys,
    answered: &HashMap<OrderId, Placement>,
    terms: &PlacingTerms,
) -> Vec<(OrderId, Placement)> {
    let open = batch.iter().filter(|order| !answered.contains_key(&order.id) && taken.has_all_of(order));
    let refused = |order: &PlaceOrder| {
        let error = taken.check_early(order, terms).err()?;
        Some((order.id, Placement::Refused(error)))
    };
    open.filter_map(refused).collect()
}

fn view(order: &PlaceOrder, accepted: Accepted, written: &Written) -> OrderView {
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
        archive: None,
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
