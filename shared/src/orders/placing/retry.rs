//! Placing a batch with everything that can go wrong: short stock, transient errors, lost answers, bad data.

use sqlx::PgPool;

use super::attempt::{Failed, attempt};
use super::request::{PlaceOrder, Placement, PlacingTerms};
use crate::error::{Error, Shortage};
use crate::orders::reap;

/// Places a batch. Whatever fails, each order has its own answer, in the order of the batch.
///
/// An order that is short of stock is tried once more if overdue reservations of its products could be expired: a
/// sale must not depend on a running reaper.
pub async fn place(db: &PgPool, batch: &[PlaceOrder], terms: &PlacingTerms) -> Vec<Placement> {
    let mut placements = try_all(db, batch, terms).await;
    let short: Vec<usize> = (0..batch.len()).filter(|i| shortages(&placements[*i]).is_some()).collect();
    if short.is_empty() || !free_overdue(db, &placements).await {
        return placements;
    }
    let again: Vec<PlaceOrder> = short.iter().map(|i| batch[*i].clone()).collect();
    let second = try_all(db, &again, terms).await;
    for (i, placement) in short.into_iter().zip(second) {
        placements[i] = placement;
    }
    placements
}

fn shortages(placement: &Placement) -> Option<&[Shortage]> {
    match placement {
        Placement::Refused(Error::InsufficientStock(shortages)) => Some(shortages),
        _ => None,
    }
}

async fn free_overdue(db: &PgPool, placements: &[Placement]) -> bool {
    let short: Vec<Shortage> = placements.iter().filter_map(shortages).flatten().cloned().collect();
    reap::free_overdue(db, &short).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "overdue reservations could not be expired: {error}");
        false
    })
}

/// Tries the batch; then once more after a transient error, or one order at a time if data was bad.
async fn try_all(db: &PgPool, batch: &[PlaceOrder], terms: &PlacingTerms) -> Vec<Placement> {
    let first = match attempt(db, batch, terms, false).await {
        Ok(placements) => return placements,
        Err(failed) => failed,
    };
    tracing::warn!(orders = batch.len(), error = %first.error, in_doubt = first.in_doubt, "a batch failed: {}", first.error);
    if !first.in_doubt && first.error.is_about_data() {
        return one_by_one(db, batch, terms).await;
    }
    match attempt(db, batch, terms, true).await {
        Ok(placements) => placements,
        Err(second) => {
            tracing::error!(orders = batch.len(), error = %second.error, "a batch failed again: {}", second.error);
            let in_doubt = first.in_doubt || second.in_doubt;
            batch.iter().map(|_| Placement::Refused(answer(&second.error, in_doubt))).collect()
        }
    }
}

/// So that an order whose data cannot be stored fails alone.
async fn one_by_one(db: &PgPool, batch: &[PlaceOrder], terms: &PlacingTerms) -> Vec<Placement> {
    let mut placements = Vec::with_capacity(batch.len());
    for order in batch {
        match attempt(db, std::slice::from_ref(order), terms, false).await {
            Ok(one) => placements.extend(one),
            Err(Failed { error, in_doubt }) => placements.push(Placement::Refused(answer(&error, in_doubt))),
        }
    }
    placements
}

/// The error of a batch, for each of its orders.
fn answer(error: &Error, in_doubt: bool) -> Error {
    if in_doubt { Error::OutcomeUnknown } else { error.clone() }
}
