//! A cache of products with their stock, for reading only: whatever decides something reads the database, and so do staff
//! and keys. Writes no table.
//!
//! There are two tiers: the memory of this process (seconds) and Redis (minutes). Nobody deletes entries when something
//! changes. A writer could not do that reliably: it may be a worker, and it may be killed between its commit and the delete.
//! Instead every process learns from the database which products have changed (`change_feed`), and it checks each entry
//! that it finds:
//!
//! - An entry in Redis carries its *horizon*: `pg_snapshot_xmin` of the snapshot in which it was read. All transactions
//!   with a smaller id had ended by then, so their changes are in the entry.
//! - When the feed reports a change of a product, it also gives `pg_snapshot_xmax` of the poll. An entry with a horizon at
//!   least as large was read after the change, so it is *fresh*. An older entry is ignored.
//! - In memory, the key of an entry contains the product's *generation*, a number that grows with each change.
//!
//! So it does not matter if a slow reader writes an old entry to Redis, or if Redis loses, keeps or restores entries.
//!
//! **All processes must use the same database role**; `change_feed` says why.

mod change_feed;
pub mod facts;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use moka::future::Cache as Local;
use prometheus::{IntCounter, IntCounterVec, Registry};
use redis::{Script, cmd};
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::platform::metrics::{counter, counters};
use crate::platform::redis::Redis;
use crate::principal::Principal;
use crate::values::ProductId;
use change_feed::{ChangeFeed, Freshness};
use facts::Facts;

/// The most entries in memory; each takes a few kilobytes.
const MAX_LOCAL: u64 = 10_000;
/// The time in Redis varies by this share, up and down. Entries that were loaded together then expire at different times.
const JITTER: f64 = 0.1;

#[derive(Debug, Clone)]
pub struct CacheSettings {
    pub on: bool,
    /// How long an entry stays in the memory of this process; zero: no longer than it takes to load it.
    pub local_ttl: Duration,
    /// How long an entry stays in Redis.
    pub ttl: Duration,
    /// The same for a product whose stock is low in some warehouse.
    pub low_stock_ttl: Duration,
}

/// The two tiers, and the feed of changes that tells which entries are fresh.
pub struct Cache {
    db: PgPool,
    settings: CacheSettings,
    redis: Option<Redis>,
    /// By product and generation. Entries of an old generation are never read again, and expire.
    local: Local<(ProductId, u64), Arc<Facts>>,
    changes: ChangeFeed,
    counts: Counts,
}

impl Cache {
    /// Starts to poll for changes; that ends when the cache is dropped.
    pub fn start(
        db: PgPool,
        redis: Option<Redis>,
        settings: CacheSettings,
        registry: &Registry,
    ) -> prometheus::Result<Arc<Self>> {
        // Not zero, so that requests for the same product at the same time share one load.
        let local_ttl = settings.local_ttl.max(Duration::from_nanos(1));
        let cache = Arc::new(Self {
            local: Local::builder().max_capacity(MAX_LOCAL).time_to_live(local_ttl).build(),
            changes: ChangeFeed::new(db.clone()),
            counts: Counts::new(registry)?,
            db,
            settings,
            redis,
        });
        if cache.settings.on {
            tokio::spawn(poll(Arc::downgrade(&cache)));
        }
        Ok(cache)
    }

    /// A product and its stock. For customers, and for callers without a token, at most a moment old, and never older than
    /// a change that this process has made. For staff always as it is: they decide by what they read.
    pub async fn product(&self, id: ProductId, reader: Option<&Principal>) -> Result<Arc<Facts>> {
        if !self.settings.on || reader.is_some_and(|reader| !reader.is_customer()) {
            return self.load(id).await.map(Arc::new);
        }
        let freshness = self.changes.freshness(id);
        let found = self.local.entry((id, freshness.generation)).or_try_insert_with(self.fetch(id, freshness)).await;
        let entry = found.map_err(|shared| Error::clone(&shared))?;
        if !entry.is_fresh() {
            self.counts.hits.with_label_values(&["process"]).inc();
        }
        Ok(entry.into_value())
    }

    /// Call this after a commit that changed the stock of these products, if it is too much to wait for a poll.
    pub fn mark_stale(&self, products: impl IntoIterator<Item = ProductId>) {
        products.into_iter().for_each(|id| self.changes.mark_stale(id));
    }

    /// Call this before returning an object that implies a newer state of these products, such as a cancelled order that
    /// has given its stock back. Otherwise the same client could then read an older, cached product.
    pub fn observed_change(&self, changed_at: DateTime<Utc>, products: impl IntoIterator<Item = ProductId>) {
        if changed_at > Utc::now() - change_feed::SEEN_BY_ALL_AFTER {
            self.mark_stale(products);
        }
    }

    /// Call this after a commit: it returns when the cache has seen the change.
    pub async fn catch_up(&self) {
        if self.settings.on {
            self.changes.poll().await;
        }
    }

    /// Reads from Redis if there is a fresh entry, otherwise from the database, and then writes to Redis.
    async fn fetch(&self, id: ProductId, freshness: Freshness) -> Result<Arc<Facts>> {
        if let Some(facts) = self.read_redis(id, freshness).await {
            self.counts.hits.with_label_values(&["redis"]).inc();
            return Ok(Arc::new(facts));
        }
        self.counts.misses.inc();
        let facts = self.load(id).await?;
        self.write_redis(&facts).await;
        Ok(Arc::new(facts))
    }

    async fn load(&self, id: ProductId) -> Result<Facts> {
        self.counts.loads.inc();
        facts::load(&mut *self.db.acquire().await?, id).await
    }

    async fn read_redis(&self, id: ProductId, freshness: Freshness) -> Option<Facts> {
        let redis = self.redis.as_ref()?;
        let min_horizon = freshness.min_horizon?;
        let key = key(redis, id);
        let held: (Option<i64>, Option<Vec<u8>>) =
            redis.ask(&key, cmd("HMGET").arg(&key).arg("horizon").arg("facts")).await?;
        let (Some(horizon), Some(facts)) = held else { return None };
        if horizon < min_horizon {
            self.counts.stale.with_label_values(&["read"]).inc();
            return None;
        }
        let facts: Facts = serde_json::from_slice(&facts).ok()?;
        Some(Facts { horizon, ..facts })
    }

    async fn write_redis(&self, facts: &Facts) {
        let Some(redis) = &self.redis else { return };
        let ttl = if facts.low { self.settings.low_stock_ttl } else { self.settings.ttl };
        let ttl = u64::try_from(jittered(ttl).as_millis()).unwrap_or(u64::MAX).max(1);
        let json = serde_json::to_vec(facts).expect("facts are plain data");
        let key = key(redis, facts.product.id);
        let kept = redis.run(&key, FILL.key(&key).arg(facts.horizon).arg(json).arg(ttl)).await;
        if kept == Some(0) {
            self.counts.stale.with_label_values(&["fill"]).inc();
        }
    }
}

/// The `1` is the version of the cached JSON. Raise it when `Facts` changes, so that old entries are ignored.
fn key(redis: &Redis, id: ProductId) -> String {
    redis.key(&format!("cache:1:product:{}", id.0))
}

/// Never replaces a newer entry by an older one.
static FILL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local held = redis.call('HGET', KEYS[1], 'horizon')
          if held and tonumber(held) > tonumber(ARGV[1]) then return 0 end
          redis.call('HSET', KEYS[1], 'horizon', ARGV[1], 'facts', ARGV[2])
          redis.call('PEXPIRE', KEYS[1], ARGV[3])
          return 1",
    )
});

fn jittered(ttl: Duration) -> Duration {
    let chance = f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    ttl.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance)
}

async fn poll(cache: std::sync::Weak<Cache>) {
    let mut every = tokio::time::interval(change_feed::POLL_INTERVAL);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let Some(cache) = cache.upgrade() else { return };
        cache.changes.poll().await;
    }
}

struct Counts {
    hits: IntCounterVec,
    misses: IntCounter,
    loads: IntCounter,
    stale: IntCounterVec,
}

impl Counts {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let hits = "Reads that the cache answered, by tier: process or redis";
        let stale = "Entries of Redis that were ignored because they may be old (read), and old ones that did not replace a newer one (fill)";
        Ok(Self {
            hits: counters(registry, "millrace_cache_hits_total", hits, &["tier"])?,
            misses: counter(registry, "millrace_cache_misses_total", "Reads that the cache could not answer")?,
            loads: counter(registry, "millrace_cache_loads_total", "Products that were read from the database")?,
            stale: counters(registry, "millrace_cache_stale_avoided_total", stale, &["at"])?,
        })
    }
}
