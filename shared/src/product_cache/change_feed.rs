//! Tells the product cache which products have changed. Writes no table.
//!
//! Every process polls the database twice a second, and at once after its own changes. Each change that a cached product
//! can show leaves a row with a time: a movement in the stock ledger, a new stock row, `updated_at` of a product or a
//! warehouse. A poll asks for the rows since the previous poll.
//!
//! **No change is missed.** A transaction writes its time before it commits, so a change can become visible after a later
//! one. Each poll therefore starts at the beginning of the oldest transaction that was still writing at the previous poll.
//!
//! **All processes must use one database role.** `pg_stat_activity` shows `backend_xid`, which says that a transaction is
//! writing, only for connections of our own role. If another role writes, its change is missed when its transaction takes
//! longer than the time between two polls; the cached product is then old until its entry expires.
//!
//! **When a poll fails,** nothing that is cached counts as fresh until a poll succeeds again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};

use crate::error::Result;
use crate::page;
use crate::platform::db::{self, CustomPlan};
use crate::values::ProductId;

/// Together with `POLL_TIMEOUT` it bounds how old a product can be that a process shows.
pub const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// A poll that takes longer has failed.
const POLL_TIMEOUT: Duration = Duration::from_secs(1);
/// Every process has seen a change that is older than this: two polls, and some seconds for clocks that differ.
pub const SEEN_BY_ALL_AFTER: TimeDelta = TimeDelta::seconds(5);
/// Ids hold whole milliseconds, and the database server's clock may be set back a little.
const CLOCK_SLACK: TimeDelta = TimeDelta::milliseconds(100);
/// We keep the state of a product in one of so many stripes, by hash. Products that share a stripe become stale together,
/// which costs a read from the database.
const STRIPES: usize = 4096;

/// Which cached copies of a product may be shown now.
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    /// Grows with each change. It is part of the key in this process, so older copies are not found any more.
    pub generation: u64,
    /// A copy in Redis is fresh if its horizon is at least this. None: do not use Redis until the next poll.
    pub min_horizon: Option<i64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Stripe {
    generation: u64,
    min_horizon: i64,
    /// Set while Redis may hold copies from before a change that we know of, but that no poll has seen yet: the number
    /// of the first poll that will have seen it.
    stale_until_poll: Option<u64>,
}

pub struct ChangeFeed {
    stripes: Vec<Mutex<Stripe>>,
    /// How many polls have started. They are numbered from 1.
    polls_started: AtomicU64,
    /// How many times `poll` was called.
    calls: AtomicU64,
    poller: tokio::sync::Mutex<Poller>,
}

/// Has a connection of its own, because waiting for a busy pool would let polls fail.
struct Poller {
    db: PgPool,
    conn: Option<PgConnection>,
    /// Changes that were not visible to the last poll have a later time than this. None before the first poll and after
    /// a failed one: then we do not know what has changed.
    since: Option<DateTime<Utc>>,
    /// Calls up to this number are served by the last poll.
    calls_served: u64,
}

/// The answer of a poll.
struct Changes {
    products: Vec<ProductId>,
    /// All products count as changed.
    everything: bool,
    /// Copies with this horizon or a later one were read after these changes.
    horizon: i64,
    /// Where the next poll starts.
    next_since: DateTime<Utc>,
}

impl ChangeFeed {
    pub fn new(db: PgPool) -> Self {
        let stripe = |_| Mutex::new(Stripe { stale_until_poll: Some(1), ..Stripe::default() });
        Self {
            stripes: (0..STRIPES).map(stripe).collect(),
            polls_started: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            poller: tokio::sync::Mutex::new(Poller { db, conn: None, since: None, calls_served: 0 }),
        }
    }

    pub fn freshness(&self, id: ProductId) -> Freshness {
        let stripe = *self.stripe(id).lock().expect("no code panics while it holds this lock");
        let min_horizon = stripe.stale_until_poll.is_none().then_some(stripe.min_horizon);
        Freshness { generation: stripe.generation, min_horizon }
    }

    /// This process knows that the product has changed. Until the next poll has seen it, Redis may hold an older copy.
    pub fn mark_stale(&self, id: ProductId) {
        let next = self.polls_started.load(Ordering::SeqCst) + 1;
        self.stripe(id).lock().expect("no code panics while it holds this lock").mark_stale(next);
    }

    /// Returns when a poll is finished that started after this call: it has seen everything that was committed before.
    /// Callers that wait at the same time share one poll.
    pub async fn poll(&self) {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let mut poller = self.poller.lock().await;
        if poller.calls_served >= call {
            return;
        }
        let calls_served = self.calls.load(Ordering::SeqCst);
        let number = self.polls_started.fetch_add(1, Ordering::SeqCst) + 1;
        match tokio::time::timeout(POLL_TIMEOUT, poller.changes()).await {
            Ok(Ok(changes)) => {
                if poller.since.is_none() && number > 1 {
                    tracing::info!("the product cache can see changes again");
                }
                self.apply(&changes, number);
                poller.since = Some(changes.next_since);
            }
            failed => {
                // Logged once, and again when it works.
                if poller.since.is_some() || number == 1 {
                    let why = failed.map_or_else(
                        |late| late.to_string(),
                        |it| it.err().map_or_else(String::new, |error| error.to_string()),
                    );
                    tracing::warn!("the product cache cannot see changes, so products are read from Postgres: {why}");
                }
                self.for_each_stripe(|stripe| stripe.mark_stale(number + 1));
                // The next poll starts with a new connection and counts everything as changed. If it asked for the time
                // since the last success, a long outage would make that query ever larger, and it could fail forever.
                (poller.conn, poller.since) = (None, None);
            }
        }
        poller.calls_served = calls_served;
    }

    fn apply(&self, changes: &Changes, poll: u64) {
        let change = |stripe: &mut Stripe| {
            stripe.generation += 1;
            stripe.min_horizon = changes.horizon;
        };
        if changes.everything {
            self.for_each_stripe(change);
        }
        for id in &changes.products {
            change(&mut self.stripe(*id).lock().expect("no code panics while it holds this lock"));
        }
        self.for_each_stripe(|stripe| {
            if stripe.stale_until_poll.is_some_and(|until| until <= poll) {
                stripe.min_horizon = changes.horizon;
                stripe.stale_until_poll = None;
            }
        });
    }

    fn stripe(&self, id: ProductId) -> &Mutex<Stripe> {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let stripe = hasher.finish() % STRIPES as u64;
        &self.stripes[usize::try_from(stripe).expect("it is below 4096")]
    }

    fn for_each_stripe(&self, then: impl Fn(&mut Stripe)) {
        for stripe in &self.stripes {
            then(&mut stripe.lock().expect("no code panics while it holds this lock"));
        }
    }
}

impl Stripe {
    fn mark_stale(&mut self, until_poll: u64) {
        self.generation += 1;
        self.stale_until_poll = Some(until_poll);
    }
}

impl Poller {
    async fn changes(&mut self) -> Result<Changes> {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            none => none.insert(db::connect_beside(&self.db).await?),
        };
        // This must be read before the changes. A transaction that commits between the two statements is then in both
        // polls, this one and the next; in the other order it could be in neither.
        let oldest_writer = sqlx::query_scalar!(
            r#"select coalesce(min(xact_start), clock_timestamp()) as "oldest!" from pg_stat_activity
                where datname = current_database() and backend_xid is not null"#
        )
        .fetch_one(&mut *conn)
        .await?;
        let since = self.since.map(|since| since - CLOCK_SLACK);
        let row = sqlx::query!(
            r#"select array(select product_id from stock_movements where id >= $1
                            union select product_id from inventory where id >= $1
                            union select id from products where updated_at >= $2) as "products!: Vec<ProductId>",
                      exists (select from warehouses where updated_at >= $2) as "warehouses!",
                      pg_snapshot_xmax(pg_current_snapshot())::text::bigint as "horizon!""#,
            since.map(page::first_id_at),
            since,
        )
        .fetch_one(CustomPlan(conn))
        .await?;
        Ok(Changes {
            products: row.products,
            // Switching a warehouse on or off changes what is available of every product.
            everything: row.warehouses || self.since.is_none(),
            horizon: row.horizon,
            next_since: oldest_writer,
        })
    }
}
