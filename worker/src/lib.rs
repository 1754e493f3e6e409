//! The worker: claims jobs from the queue and carries them out. `jobs` has the list of all jobs and their handlers, `fleet`
//! runs them.

pub mod config;
pub mod context;
pub mod error;
pub mod fleet;
pub mod jobs;
pub mod provider;
pub mod serve;
pub mod steps;
pub mod waiting_payments;
pub mod webhooks;

use std::sync::Arc;

use shared::health::Probe;
use shared::metrics::Metrics;
use shared::platform::insecure::Insecure;
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// What health checks and metrics need. Cloning it clones handles.
#[derive(Clone)]
pub struct Vitals {
    pub probe: Arc<Probe>,
    pub metrics: Arc<Metrics>,
    /// What is insecure about this process's settings.
    pub insecure: Vec<Insecure>,
    /// Cancelled when the process is asked to stop.
    pub stopping: CancellationToken,
}

impl Vitals {
    pub fn new(ctx: &Context, insecure: Vec<Insecure>) -> anyhow::Result<Self> {
        Ok(Self {
            insecure,
            probe: Arc::new(Probe::new(ctx.db.clone(), ctx.doorbell.clone())),
            metrics: Arc::new(Metrics::new(ctx.db.clone(), &ctx.doorbell)?),
            stopping: CancellationToken::new(),
        })
    }
}
