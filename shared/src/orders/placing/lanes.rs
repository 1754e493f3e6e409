//! The lanes: orders that arrive while a batch commits are placed together by the next batch.
//!
//! There is no timer. An idle lane places a single order at once; a busy lane gathers what arrives. So a flash sale
//! locks the row of a hot product once for each batch, and not once for each order.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::super::OrderView;
use super::super::jobs::ProcessPayment;
use super::permits::{PlacingLimits, PlacingPermit, PlacingPermits};
use super::request::{PlaceOrder, Placement, PlacingTerms};
use super::retry;
use crate::error::{Error, Result};
use crate::idempotency::{BodyHash, Key, WAIT_FOR_KEY};
use crate::queue::Ring;
use crate::values::{Money, ProductId};

/// Several, so that one slow batch does not delay all orders. Each uses a connection while it places. More lanes than
/// cores would only make the batches smaller, and a batch itself costs Postgres as much as four orders.
const LANES: RangeInclusive<usize> = 2..=4;

/// Larger batches are not faster, and the first order of a batch waits for the last.
const MAX_BATCH: usize = 256;

/// No order is added to a batch that has this many lines: a batch of large orders should take no longer than others.
const ENOUGH_LINES: usize = 4096;

/// After this time a client is told that the outcome is unknown. Shorter than the time limit of a request.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// The pause before orders are tried again whose keys or customers another batch holds.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// The answer to a client.
#[derive(Debug)]
pub struct Placed {
    pub order: Box<OrderView>,
    /// It was placed before, under the same key.
    pub replayed: bool,
}

/// What a batch did.
#[derive(Debug)]
pub struct PlacedBatch {
    /// The jobs to ring for.
    pub rings: Vec<Ring>,
    /// The products whose stock has changed.
    pub sold: Vec<ProductId>,
    /// The totals of the orders that were placed, without repeats of earlier ones.
    pub totals: Vec<Money>,
}

/// What an edge does after each batch.
pub type AfterBatch = dyn Fn(PlacedBatch) + Send + Sync;

/// All lanes of a process.
pub struct PlacingLanes {
    lanes: Vec<mpsc::Sender<Waiting>>,
    /// Limits the orders that wait or are being placed, in all lanes together.
    permits: PlacingPermits,
}

/// An order, and the channel to the client that waits for its answer.
struct Waiting {
    order: PlaceOrder,
    answer: oneshot::Sender<Result<Placed>>,
    since: Instant,
    _permit: PlacingPermit,
}

impl PlacingLanes {
    /// Starts the lanes. They end when this is dropped.
    pub fn start(
        db: &PgPool,
        terms: PlacingTerms,
        limits: PlacingLimits,
        after_batch: impl Fn(PlacedBatch) + Send + Sync + 'static,
    ) -> Self {
        let after_batch: Arc<AfterBatch> = Arc::new(after_batch);
        let terms = Arc::new(terms);
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let lanes = (0..cores.clamp(*LANES.start(), *LANES.end()))
            .map(|_| {
                let (sender, arrivals) = mpsc::channel(limits.of_all as usize);
                let lane = Lane {
                    db: db.clone(),
                    terms: terms.clone(),
                    after_batch: after_batch.clone(),
                    arrivals,
                    left_over: Vec::new(),
                };
                tokio::spawn(lane.run());
                sender
            })
            .collect();
        Self { lanes, permits: PlacingPermits::new(limits) }
    }

    /// Places an order together with others that arrive at the same time, and waits for its answer. `share_of`: the
    /// caller whose share of the permits it takes; None for staff and keys, who place for many.
    pub async fn place(&self, order: PlaceOrder, share_of: Option<Uuid>) -> Result<Placed> {
        let permit = self.permits.take(share_of)?;
        let (answer, answered) = oneshot::channel();
        let lane = &self.lanes[lane_of(&order, self.lanes.len())];
        let waiting = Waiting { order, answer, since: Instant::now(), _permit: permit };
        lane.try_send(waiting).map_err(|_| Error::Overloaded)?;
        match tokio::time::timeout(ANSWER_WITHIN, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(Error::OutcomeUnknown),
        }
    }
}

/// Orders of the same products go through the same lane. A product that some orders name by its id and others by its SKU
/// has two lanes; that costs only speed.
fn lane_of(order: &PlaceOrder, lanes: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    order.lines.iter().map(|line| &line.product).min().hash(&mut hasher);
    usize::try_from(hasher.finish() % lanes as u64).expect("there are few lanes")
}

/// The ring for the payment job of an order that has just been placed.
fn payment_ring(placement: &Placement) -> Option<Ring> {
    match placement {
        Placement::Placed(order, Some(job)) => Some(Ring::first::<ProcessPayment>(*job, order.created_at)),
        _ => None,
    }
}

fn total(placement: &Placement) -> Option<Money> {
    match placement {
        Placement::Placed(order, _) => Some(order.total),
        Placement::Replayed(_) | Placement::Refused(_) | Placement::Busy => None,
    }
}

/// The products of the orders that stand, whose stock may have changed.
fn sold(placements: &[Placement]) -> Vec<ProductId> {
    let products = placements.iter().filter_map(|placement| match placement {
        Placement::Placed(order, _) | Placement::Replayed(order) => {
            Some(order.items.iter().map(|item| item.product_id))
        }
        Placement::Refused(_) | Placement::Busy => None,
    });
    products.flatten().collect()
}

struct Lane {
    db: PgPool,
    terms: Arc<PlacingTerms>,
    after_batch: Arc<AfterBatch>,
    arrivals: mpsc::Receiver<Waiting>,
    /// Orders that the last batch could not place.
    left_over: Vec<Waiting>,
}

/// One order of a batch, and the repeats of it that wait for its answer: same person, same key.
struct Entry {
    first: Waiting,
    others: Vec<Waiting>,
}

impl Lane {
    async fn run(mut self) {
        while let Some(entries) = self.next_batch().await {
            let batch: Vec<PlaceOrder> = entries.iter().map(|entry| entry.first.order.clone()).collect();
            let placements = retry::place(&self.db, &batch, &self.terms).await;
            (self.after_batch)(PlacedBatch {
                rings: placements.iter().filter_map(payment_ring).collect(),
                sold: sold(&placements),
                totals: placements.iter().filter_map(total).collect(),
            });
            let size = batch.len();
            for (entry, placement) in entries.into_iter().zip(placements) {
                self.answer(entry, placement);
            }
            if self.left_over.len() >= size {
                tokio::time::sleep(BUSY_PAUSE).await; // No order was placed: the batch that holds the keys needs time.
            }
        }
    }

    /// The orders that were left over and those that have arrived, at most a full batch. Waits only if there are none.
    async fn next_batch(&mut self) -> Option<Vec<Entry>> {
        loop {
            let mut waiting = std::mem::take(&mut self.left_over);
            if waiting.is_empty() {
                waiting.push(self.arrivals.recv().await?);
            }
            let mut lines: usize = waiting.iter().map(|one| one.order.lines.len()).sum();
            while waiting.len() < MAX_BATCH
                && lines < ENOUGH_LINES
                && let Ok(arrival) = self.arrivals.try_recv()
            {
                lines += arrival.order.lines.len();
                waiting.push(arrival);
            }
            // A client that disconnected before its batch is formed has not ordered.
            waiting.retain(|one| !one.answer.is_closed());
            if !waiting.is_empty() {
                return Some(group(waiting));
            }
        }
    }

    /// Answers the clients of an entry, or keeps the entry for the next batch.
    fn answer(&mut self, entry: Entry, placement: Placement) {
        let Entry { first, others } = entry;
        match placement {
            Placement::Placed(order, _job) => {
                answer_others(&first.order, others, &order);
                first.answer(Ok(Placed { order, replayed: false }));
            }
            Placement::Replayed(order) => {
                answer_others(&first.order, others, &order);
                first.answer(Ok(Placed { order, replayed: true }));
            }
            Placement::Busy if first.since.elapsed() < WAIT_FOR_KEY => {
                self.left_over.push(first);
                self.left_over.extend(others);
            }
            Placement::Busy => {
                first.answer(Err(Error::RequestInProgress));
                self.left_over.extend(others);
            }
            Placement::Refused(error) => {
                first.answer(Err(error));
                self.left_over.extend(others); // A refusal frees its key, so each repeat is tried itself.
            }
        }
    }
}

impl Waiting {
    fn answer(self, outcome: Result<Placed>) {
        // A client that has disconnected finds the order by its key, or in the list of orders.
        drop(self.answer.send(outcome));
    }

    fn key(&self) -> Option<(Uuid, Key)> {
        self.order.key.as_ref().map(|(key, _)| (self.order.placed_by.id, key.clone()))
    }

    fn body_hash(&self) -> Option<&BodyHash> {
        self.order.key.as_ref().map(|(_, hash)| hash)
    }
}

fn answer_others(first: &PlaceOrder, others: Vec<Waiting>, order: &OrderView) {
    for other in others {
        let same = other.body_hash() == first.key.as_ref().map(|(_, hash)| hash);
        let outcome = Placed { order: Box::new(order.clone()), replayed: true };
        other.answer(if same { Ok(outcome) } else { Err(Error::IdempotencyKeyReused) });
    }
}

/// A batch has each key once. Other orders with that key wait for the answer of the first one.
fn group(waiting: Vec<Waiting>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::with_capacity(waiting.len());
    let mut by_key = HashMap::new();
    for one in waiting {
        match one.key() {
            None => entries.push(Entry { first: one, others: Vec::new() }),
            Some(key) => {
                let place = *by_key.entry(key).or_insert(entries.len());
                match entries.get_mut(place) {
                    Some(entry) => entry.others.push(one),
                    None => entries.push(Entry { first: one, others: Vec::new() }),
                }
            }
        }
    }
    entries
}
