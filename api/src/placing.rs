//! The lanes: requests that arrive while a placement commits are placed together by the next one.
//!
//! No timer. A lane that is idle places a single order at once; a lane that is busy gathers what arrives, so
//! a flash sale locks the hot row once per batch and not once per order.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::error::{Error, Result};
use shared::idempotency::{BodyHash, Key};
use shared::orders::OrderView;
use shared::orders::jobs::ProcessPayment;
use shared::orders::placing::{self, PlaceOrder, Placement, PlacingTerms};
use shared::product_cache::Cache;
use shared::queue::Ring;
use shared::queue::doorbell::Doorbell;
use shared::values::UserId;
use sqlx::PgPool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::extract::idempotent::PATIENCE;

/// A few, so that one slow batch does not hold everyone; each holds a connection while it places. More than there are
/// cores would only make the batches smaller, and a batch by itself costs Postgres as much as four orders.
const LANES: RangeInclusive<usize> = 2..=4;

/// More orders in one transaction are not placed faster, and make the first of them wait for the last.
const MAX_BATCH: usize = 256;

/// Nor are there more lines in it once there are so many: a transaction of large orders is to take no longer.
const ENOUGH_LINES: usize = 4096;

/// After this a client is told that the outcome is not known. Shorter than any request may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// Between two tries of an order whose key or customer another batch holds.
const PAUSE: Duration = Duration::from_millis(5);

/// What the client gets: its order, and whether it was placed before.
#[derive(Debug)]
pub struct Placed {
    pub order: Box<OrderView>,
    pub replayed: bool,
}

/// The way in.
pub struct Placing {
    lanes: Vec<mpsc::Sender<Waiting>>,
    /// Bounds what waits and what is being placed, in all lanes together.
    in_flight: Arc<Semaphore>,
}

/// An order on its way, and who waits for it.
struct Waiting {
    order: PlaceOrder,
    answer: oneshot::Sender<Result<Placed>>,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Placing {
    /// Starts the lanes. They end when this is dropped.
    pub fn start(
        db: &PgPool,
        doorbell: &Doorbell,
        cache: &Arc<Cache>,
        terms: PlacingTerms,
        max_in_flight: u32,
    ) -> Self {
        let max_in_flight = max_in_flight as usize;
        let terms = Arc::new(terms);
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let lanes = (0..cores.clamp(*LANES.start(), *LANES.end()))
            .map(|_| {
                let (sender, arrivals) = mpsc::channel(max_in_flight);
                let lane = Lane {
                    db: db.clone(),
                    doorbell: doorbell.clone(),
                    cache: cache.clone(),
                    terms: terms.clone(),
                    arrivals,
                    held: Vec::new(),
                };
                tokio::spawn(lane.run());
                sender
            })
            .collect();
        Self { lanes, in_flight: Arc::new(Semaphore::new(max_in_flight)) }
    }

    /// Places an order together with those that arrive meanwhile, and waits for what came of it.
    pub async fn place(&self, order: PlaceOrder) -> Result<Placed> {
        let permit = self.in_flight.clone().try_acquire_owned().map_err(|_| Error::Overloaded)?;
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

/// Orders of the same products meet in the same lane. A product that some name by its id and others by its
/// SKU has two; that costs speed, nothing else.
fn lane_of(order: &PlaceOrder, lanes: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    order.lines.iter().map(|line| &line.product).min().hash(&mut hasher);
    usize::try_from(hasher.finish() % lanes as u64).expect("there are few lanes")
}

/// Rings for the payment of an order that has just been placed.
fn payment(placement: &Placement) -> Option<Ring> {
    match placement {
        Placement::Placed(order, Some(job)) => Some(Ring::first::<ProcessPayment>(*job, order.created_at)),
        _ => None,
    }
}

struct Lane {
    db: PgPool,
    doorbell: Doorbell,
    cache: Arc<Cache>,
    terms: Arc<PlacingTerms>,
    arrivals: mpsc::Receiver<Waiting>,
    /// Those that the last batch could not take.
    held: Vec<Waiting>,
}

/// One order of a batch, and those that wait for the same one: same caller, same key.
struct Entry {
    first: Waiting,
    others: Vec<Waiting>,
}

impl Lane {
    async fn run(mut self) {
        while let Some(entries) = self.next_batch().await {
            let batch: Vec<PlaceOrder> = entries.iter().map(|entry| entry.first.order.clone()).collect();
            let placements = placing::place(&self.db, &batch, &self.terms).await;
            self.doorbell.ring(placements.iter().filter_map(payment));
            self.forget(&placements);
            let size = batch.len();
            for (entry, placement) in entries.into_iter().zip(placements) {
                self.settle(entry, placement);
            }
            if self.held.len() >= size {
                tokio::time::sleep(PAUSE).await; // Nothing moved: whoever holds the keys needs a moment.
            }
        }
    }

    /// What was left over and what has arrived, at most a batch full; waits only when there is nothing.
    async fn next_batch(&mut self) -> Option<Vec<Entry>> {
        loop {
            let mut waiting = std::mem::take(&mut self.held);
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
            // Whoever has gone before the batch is formed has not ordered.
            waiting.retain(|one| !one.answer.is_closed());
            if !waiting.is_empty() {
                return Some(group(waiting));
            }
        }
    }

    /// What was sold is not shown from the cache any more.
    fn forget(&self, placements: &[Placement]) {
        for placement in placements {
            if let Placement::Placed(order, _) | Placement::Replayed(order) = placement {
                self.cache.mark_stale(order.items.iter().map(|item| item.product_id));
            }
        }
    }

    fn settle(&mut self, entry: Entry, placement: Placement) {
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
            Placement::Busy if first.since.elapsed() < PATIENCE => {
                self.held.push(first);
                self.held.extend(others);
            }
            Placement::Busy => {
                first.answer(Err(Error::RequestInProgress));
                self.held.extend(others);
            }
            Placement::Refused(error) => {
                first.answer(Err(error));
                self.held.extend(others); // A refusal frees its key, so the next one is tried itself.
            }
        }
    }
}

impl Waiting {
    fn answer(self, outcome: Result<Placed>) {
        // Whoever has gone meanwhile finds the order by its key, or in the list of orders.
        drop(self.answer.send(outcome));
    }

    fn key(&self) -> Option<(UserId, Key)> {
        self.order.key.as_ref().map(|(key, _)| (self.order.placed_by, key.clone()))
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

/// A batch holds each key once; the others with that key wait for what comes of the first.
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
