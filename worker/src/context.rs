//! What every handler gets beside its job.

use std::sync::Arc;
use std::time::Duration;

use shared::jobs::doorbell::Doorbell;
use shared::jobs::retry::Schedule;
use shared::jobs::{Held, Plan};
use shared::payments::Provider;
use shared::shipping::Carrier;
use sqlx::PgPool;

/// Handles to the outside. Cloning it clones handles.
#[derive(Clone)]
pub struct Context {
    pub db: PgPool,
    pub doorbell: Doorbell,
    pub provider: Arc<dyn Provider>,
    pub carrier: Arc<dyn Carrier>,
    pub terms: Terms,
}

/// The settings that handlers ask for.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    pub max_attempts: i32,
    pub retry: Schedule,
    pub delivery_delay: Duration,
}

impl Context {
    /// For a job that follows at once from this one.
    pub fn next(&self, job: &Held) -> Plan {
        job.plan(Duration::ZERO, self.terms.max_attempts)
    }
}
