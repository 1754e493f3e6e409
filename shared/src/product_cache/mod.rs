//! What many look at, kept near: a product with its stock. Writes no table, and decides nothing: whoever places,
//! changes or compares versions looks into the database.
//!
//! Two tiers: this process (seconds) and Redis (minutes). Neither is told to forget by those who write, who may be
//! workers, or killed. Instead every process listens to what the database tells of changes (`heard`), and judges what
//! it finds: a value carries the horizon of the snapshot that it was read in, and one that may have been read before
//! the last change that the process has heard of is not believed. So it does not matter what a slow reader leaves
//! in Redis, or what Redis loses, keeps or brings back.

mod change_feed;
pub mod facts;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use moka::future::Cache as Near;
use prometheus::{IntCounter, IntCounterVec, Registry};
use redis::{Script, cmd};
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::platform::metrics::{counter, counters};
use crate::platform::redis::Redis;
use crate::values::ProductId;
use change_feed::{ChangeFeed, Freshness};
use facts::Facts;

/// What the process keeps at most: a few kilobytes each.
const MAX_NEAR: u64 = 10_000;
/// The longest that one is kept beyond its time in Redis, and the shortest, so that what was loaded together is not
/// loaded again together.
const JITTER: f64 = 0.1;

#[derive(Debug, Clone)]
pub struct CacheSettings {
    pub on: bool,
    /// In this process; zero for not at all.
    pub local_ttl: Duration,
    /// In Redis.
    pub ttl: Duration,
    /// In Redis, for what somebody will soon reorder.
    pub low_stock_ttl: Duration,
}

/// The two tiers, and the ear that keeps them honest.
pub struct Cache {
    db: PgPool,
    settings: CacheSettings,
    redis: Option<Redis>,
    /// By product and generation: what is loaded for an old generation nobody asks for any more.
    near: Near<(ProductId, u64), Arc<Facts>>,
    heard: ChangeFeed,
    counts: Counts,
}

impl Cache {
    /// Listens until this is dropped.
    pub fn start(
        db: PgPool,
        redis: Option<Redis>,
        settings: CacheSettings,
        registry: &Registry,
    ) -> prometheus::Result<Arc<Self>> {
        // Something that is kept for no time still joins those who ask at the same time.
        let local_ttl = settings.local_ttl.max(Duration::from_nanos(1));
        let cache = Arc::new(Self {
            near: Near::builder().max_capacity(MAX_NEAR).time_to_live(local_ttl).build(),
            heard: ChangeFeed::new(db.clone()),
            counts: Counts::new(registry)?,
            db,
            settings,
            redis,
        });
        if cache.settings.on {
            tokio::spawn(listen(Arc::downgrade(&cache)));
        }
        Ok(cache)
    }

    /// A product and its stock, as they were a moment ago; after a write of this process, not before it.
    pub async fn product(&self, id: ProductId) -> Result<Arc<Facts>> {
        if !self.settings.on {
            return self.load(id).await.map(Arc::new);
        }
        let trust = self.heard.trust(id);
        let found = self.near.entry((id, trust.generation)).or_try_insert_with(self.fetch(id, trust)).await;
        let entry = found.map_err(|shared| Error::clone(&shared))?;
        if !entry.is_fresh() {
            self.counts.hits.with_label_values(&["process"]).inc();
        }
        Ok(entry.into_value())
    }

    /// This process has changed the stock of these products, and committed.
    pub fn forget(&self, products: impl IntoIterator<Item = ProductId>) {
        products.into_iter().for_each(|id| self.heard.doubt(id));
    }

    /// This process shows something that changed these products at that time, such as an order that was cancelled:
    /// whoever has seen it must not see them as they were before.
    pub fn shown(&self, changed_at: DateTime<Utc>, products: impl IntoIterator<Item = ProductId>) {
        if changed_at > Utc::now() - change_feed::HEARD_WITHIN {
            self.forget(products);
        }
    }

    /// This process has changed something, and committed: waits until it is heard of.
    pub async fn catch_up(&self) {
        if self.settings.on {
            self.heard.listen().await;
        }
    }

    /// From Redis, or else from the database and then into Redis.
    async fn fetch(&self, id: ProductId, trust: Freshness) -> Result<Arc<Facts>> {
        if let Some(facts) = self.ask_redis(id, trust).await {
            self.counts.hits.with_label_values(&["redis"]).inc();
            return Ok(Arc::new(facts));
        }
        self.counts.misses.inc();
        let facts = self.load(id).await?;
        self.tell_redis(&facts).await;
        Ok(Arc::new(facts))
    }

    async fn load(&self, id: ProductId) -> Result<Facts> {
        self.counts.loads.inc();
        facts::load(&mut *self.db.acquire().await?, id).await
    }

    async fn ask_redis(&self, id: ProductId, trust: Freshness) -> Option<Facts> {
        let redis = self.redis.as_ref()?;
        let since = trust.since?;
        let key = key(redis, id);
        let held: (Option<i64>, Option<Vec<u8>>) =
            redis.ask(&key, cmd("HMGET").arg(&key).arg("horizon").arg("facts")).await?;
        let (Some(horizon), Some(facts)) = held else { return None };
        if horizon < since {
            self.counts.stale.with_label_values(&["read"]).inc();
            return None;
        }
        let facts: Facts = serde_json::from_slice(&facts).ok()?;
        Some(Facts { horizon, ..facts })
    }

    async fn tell_redis(&self, facts: &Facts) {
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

/// The number is the form's: what another version of Millrace wrote is not here.
fn key(redis: &Redis, id: ProductId) -> String {
    redis.key(&format!("cache:1:product:{}", id.0))
}

/// Never an older value over a newer one.
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

async fn listen(cache: std::sync::Weak<Cache>) {
    let mut every = tokio::time::interval(change_feed::EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let Some(cache) = cache.upgrade() else { return };
        cache.heard.listen().await;
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
        let hits = "Reads that a tier answered: process or redis";
        let stale = "Values that may have been old: in Redis and not believed, or not put over a newer one";
        Ok(Self {
            hits: counters(registry, "millrace_cache_hits_total", hits, &["tier"])?,
            misses: counter(registry, "millrace_cache_misses_total", "Reads that no tier could answer")?,
            loads: counter(registry, "millrace_cache_loads_total", "Products read from the database to be shown")?,
            stale: counters(registry, "millrace_cache_stale_avoided_total", stale, &["at"])?,
        })
    }
}
