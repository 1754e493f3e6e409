//! Jobs in, effects out: what a worker knows, and the one list of everything that it runs.

pub mod backend;
pub mod clockwork;
pub mod config;
pub mod context;
pub mod error;
pub mod fleet;
pub mod jobs;
pub mod layers;
pub mod recorder;
pub mod schedule;
pub mod serve;
pub mod shipping;
pub mod stand_in;
pub mod taker;

use std::sync::Arc;

use prometheus::Registry;
use prometheus::process_collector::ProcessCollector;
use shared::health::Probe;
use shared::settings::Common;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// What probes and scrapers look at. Cloning it clones handles.
#[derive(Clone)]
pub struct Vitals {
    pub probe: Arc<Probe>,
    pub metrics: Registry,
    /// Cancelled when the process has been asked to stop.
    pub stopping: CancellationToken,
}

impl Vitals {
    pub fn new(common: &Common, db: &PgPool) -> anyhow::Result<Self> {
        let metrics = Registry::new();
        metrics.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            probe: Arc::new(Probe::new(db.clone(), common.queue_redis())?),
            metrics,
            stopping: CancellationToken::new(),
        })
    }
}
