//! What every handler gets beside its job.

use std::sync::Arc;
use std::time::Duration;

use shared::jobs::doorbell::Doorbell;
use shared::jobs::retry::Schedule;
use shared::jobs::{Held, Plan};
use shared::payments::Provider;
use shared::settings::Common;
use shared::shipping::Carrier;
use sqlx::PgPool;

use crate::config::Work;

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
    pub fn new(common: &Common, work: &Work) -> anyhow::Result<Self> {
        let db = common.pool("millrace-worker").map_err(anyhow::Error::msg)?;
        Ok(Self {
            doorbell: Doorbell::new(common.queue_redis(), &common.redis_prefix)?,
            provider: Arc::new(crate::stand_in::Nobody),
            carrier: Arc::new(crate::stand_in::Nobody),
            terms: Terms {
                max_attempts: work.job_max_attempts,
                retry: Schedule { initial: work.retry_initial, max: work.retry_max },
                delivery_delay: work.delivery_delay,
            },
            db,
        })
    }

    /// For a job that follows at once from this one.
    pub fn next(&self, job: &Held) -> Plan {
        job.plan(Duration::ZERO, self.terms.max_attempts)
    }
}
