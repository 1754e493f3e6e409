//! Jobs in, effects out: what a worker knows, and the one list of everything that it runs.

pub mod config;
pub mod serve;

use std::sync::Arc;

use prometheus::Registry;
use prometheus::process_collector::ProcessCollector;
use shared::health::Probe;
use shared::settings::Common;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::config::Work;

/// What jobs share. Cloning it clones handles.
#[derive(Clone)]
pub struct Context {
    pub db: PgPool,
    pub settings: Arc<Work>,
    pub probe: Arc<Probe>,
    pub metrics: Registry,
    /// Cancelled when the process has been asked to stop.
    pub stopping: CancellationToken,
}

impl Context {
    pub fn new(common: &Common, settings: Work) -> anyhow::Result<Self> {
        let db = common.pool("millrace-worker").map_err(anyhow::Error::msg)?;
        let metrics = Registry::new();
        metrics.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            probe: Arc::new(Probe::new(db.clone(), common.queue_redis())?),
            settings: Arc::new(settings),
            metrics,
            stopping: CancellationToken::new(),
            db,
        })
    }
}

/// Runs jobs until `stopping` is cancelled, and finishes those that are running.
pub async fn run(context: Context) -> anyhow::Result<()> {
    context.stopping.cancelled().await;
    Ok(())
}
