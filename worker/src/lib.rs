//! Jobs in, effects out: what a worker knows, and the one list of everything that it runs.

pub mod config;
pub mod context;
pub mod error;
pub mod fleet;
pub mod jobs;
pub mod serve;

use std::sync::Arc;

use shared::health::Probe;
use shared::metrics::Metrics;
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// What probes and scrapers look at. Cloning it clones handles.
#[derive(Clone)]
pub struct Vitals {
    pub probe: Arc<Probe>,
    pub metrics: Arc<Metrics>,
    /// Cancelled when the process has been asked to stop.
    pub stopping: CancellationToken,
}

impl Vitals {
    pub fn new(ctx: &Context) -> anyhow::Result<Self> {
        Ok(Self {
            probe: Arc::new(Probe::new(ctx.db.clone(), ctx.doorbell.clone())),
            metrics: Arc::new(Metrics::new(ctx.db.clone(), &ctx.doorbell)?),
            stopping: CancellationToken::new(),
        })
    }
}
