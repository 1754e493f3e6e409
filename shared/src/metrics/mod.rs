//! The metrics that both programs export at `/metrics`: process, connection pool, jobs, shop. Writes no table.
//!
//! Every label has few values: a kind, a queue, a status, never an id.

pub mod jobs;

mod shop;

use std::sync::Arc;

use prometheus::process_collector::ProcessCollector;
use prometheus::{Registry, TextEncoder};
use sqlx::PgPool;

use crate::history::Counters;
use crate::platform::metrics::PoolMetrics;
use crate::queue::doorbell::Doorbell;
use jobs::JobMetrics;
use shop::ShopGauges;

/// All metrics of a process.
pub struct Metrics {
    pub jobs: JobMetrics,
    /// What this process counts for the history in the database. The program writes it every few seconds.
    pub counted: Arc<Counters>,
    registry: Registry,
    pool: PoolMetrics,
    shop: Arc<ShopGauges>,
}

impl Metrics {
    pub fn new(db: PgPool, doorbell: &Doorbell) -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        registry.register(Box::new(doorbell.written().clone()))?;
        let counted = Arc::<Counters>::default();
        Ok(Self {
            jobs: JobMetrics::new(&registry, counted.clone())?,
            counted,
            pool: PoolMetrics::new(&registry, db.clone())?,
            shop: Arc::new(ShopGauges::new(db)),
            registry,
        })
    }

    /// Where a program registers the metrics that only it has.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The text for the scraper. It waits for the database only briefly, so the gauges of the shop may be as old as the
    /// last scrape.
    pub async fn text(&self) -> prometheus::Result<String> {
        let shop = self.shop.gauges().await?;
        self.pool.update();
        let mut families = self.registry.gather();
        families.extend(shop);
        TextEncoder::new().encode_to_string(&families)
    }
}
