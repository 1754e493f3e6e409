//! What a process has heard of changes, and so what it may believe.
//!
//! Everything that changes what is shown leaves a trace with a time: a movement in the ledger, a new row of stock, a
//! product's or a warehouse's `updated_at`. A process asks for the new traces twice a second, and at once when it has
//! changed something itself. None is missed: it asks for all since the oldest transaction that was still writing
//! before it last asked. And if it cannot ask, it believes nothing. (Who is writing is seen of the own database role
//! only, so all of Millrace has one role. Somebody else's change is missed if it took long to commit.)

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection, PgConnection, PgPool};

use crate::error::Result;
use crate::page;
use crate::platform::db::CustomPlan;
use crate::values::ProductId;

/// No process shows what was true longer ago than this and the time of asking.
pub const EVERY: Duration = Duration::from_millis(500);
/// An answer that takes longer counts as none.
const PATIENCE: Duration = Duration::from_secs(1);
/// What is older than this has been heard of, also where clocks differ by a few seconds.
pub const HEARD_WITHIN: TimeDelta = TimeDelta::seconds(5);
/// Ids hold whole milliseconds, and a clock may be set right by a few.
const SLACK: TimeDelta = TimeDelta::milliseconds(100);
/// Products share a stripe by chance, and then lose what is cached of them together: that costs a load.
const STRIPES: usize = 4096;

/// What may be believed about a product now.
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    /// Grows with each change that was heard of: what was kept in the process before is not asked for any more.
    pub generation: u64,
    /// What Redis holds is believed from this horizon on; none: not at all for now.
    pub since: Option<i64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Stripe {
    generation: u64,
    since: i64,
    /// The listening that will have heard of what this process itself has changed.
    in_doubt_until: Option<u64>,
}

pub struct ChangeFeed {
    stripes: Vec<Mutex<Stripe>>,
    /// How many listenings have begun.
    begun: AtomicU64,
    asked: AtomicU64,
    ear: tokio::sync::Mutex<Subscription>,
}

/// A connection of its own: a pool that is busy must not make the process deaf.
struct Subscription {
    db: PgPool,
    conn: Option<PgConnection>,
    /// Whoever changes something now leaves a trace after this; none: nothing is known yet.
    since: Option<DateTime<Utc>>,
    /// Those who asked before the last listening began.
    answered: u64,
}

/// What has changed since it was last asked.
struct Changes {
    products: Vec<ProductId>,
    everything: bool,
    /// Before it all transactions were seen, or will be heard of.
    horizon: i64,
    since: DateTime<Utc>,
}

impl ChangeFeed {
    pub fn new(db: PgPool) -> Self {
        let stripe = |_| Mutex::new(Stripe { in_doubt_until: Some(1), ..Stripe::default() });
        Self {
            stripes: (0..STRIPES).map(stripe).collect(),
            begun: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            ear: tokio::sync::Mutex::new(Subscription { db, conn: None, since: None, answered: 0 }),
        }
    }

    pub fn trust(&self, id: ProductId) -> Freshness {
        let stripe = *self.stripe(id).lock().expect("nothing panics while it holds a stripe");
        Freshness { generation: stripe.generation, since: stripe.in_doubt_until.is_none().then_some(stripe.since) }
    }

    /// This process has changed it. Until that is heard of, what is in Redis may be older.
    pub fn doubt(&self, id: ProductId) {
        let next = self.begun.load(Ordering::SeqCst) + 1;
        self.stripe(id).lock().expect("nothing panics while it holds a stripe").doubt(next);
    }

    /// Hears of all that was committed before it was called. Many who call at once share one listening.
    pub async fn listen(&self) {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut ear = self.ear.lock().await;
        if ear.answered >= mine {
            return;
        }
        let answered = self.asked.load(Ordering::SeqCst);
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        match tokio::time::timeout(PATIENCE, ear.news()).await {
            Ok(Ok(news)) => {
                if ear.since.is_none() && number > 1 {
                    tracing::info!("changes are heard of again");
                }
                self.take_in(&news, number);
                ear.since = Some(news.since);
            }
            failed => {
                // Said once, and again when it works.
                if ear.since.is_some() || number == 1 {
                    let why = failed.map(|it| it.map(drop));
                    tracing::warn!("changes cannot be heard of, so nothing cached is believed: {why:?}");
                }
                self.each(|stripe| stripe.doubt(number + 1));
                (ear.conn, ear.since) = (None, None); // Afresh: a gap that is too long to ask for must not stay one.
            }
        }
        ear.answered = answered;
    }

    fn take_in(&self, news: &Changes, number: u64) {
        let change = |stripe: &mut Stripe| {
            stripe.generation += 1;
            stripe.since = news.horizon;
        };
        if news.everything {
            self.each(change);
        }
        for id in &news.products {
            change(&mut self.stripe(*id).lock().expect("nothing panics while it holds a stripe"));
        }
        self.each(|stripe| {
            if stripe.in_doubt_until.is_some_and(|until| until <= number) {
                stripe.since = news.horizon;
                stripe.in_doubt_until = None;
            }
        });
    }

    fn stripe(&self, id: ProductId) -> &Mutex<Stripe> {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let stripe = hasher.finish() % STRIPES as u64;
        &self.stripes[usize::try_from(stripe).expect("there are few")]
    }

    fn each(&self, then: impl Fn(&mut Stripe)) {
        for stripe in &self.stripes {
            then(&mut stripe.lock().expect("nothing panics while it holds a stripe"));
        }
    }
}

impl Stripe {
    fn doubt(&mut self, until: u64) {
        self.generation += 1;
        self.in_doubt_until = Some(until);
    }
}

impl Subscription {
    async fn news(&mut self) -> Result<Changes> {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            none => none.insert(PgConnection::connect_with(&self.db.connect_options()).await?),
        };
        // Asked before the news are: whoever commits in between is in both, whoever commits later is in the next.
        let oldest_writer = sqlx::query_scalar!(
            r#"select coalesce(min(xact_start), clock_timestamp()) as "oldest!" from pg_stat_activity
                where datname = current_database() and backend_xid is not null"#
        )
        .fetch_one(&mut *conn)
        .await?;
        let since = self.since.map(|since| since - SLACK);
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
            // A warehouse that is switched off takes its stock from every product.
            everything: row.warehouses || self.since.is_none(),
            horizon: row.horizon,
            since: oldest_writer,
        })
    }
}
