//! What every handler gets beside its job.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use shared::jobs::doorbell::Doorbell;
use shared::jobs::retry::Schedule;
use shared::jobs::{Held, Plan};
use shared::payments::{self, Provider};
use shared::settings::Common;
use shared::shipping::{self, Carrier};
use sqlx::PgPool;

use crate::config::{self, Work};
use crate::recorder::Recorder;

/// Their statements take a millisecond; a worker's jobs share these few.
const ELSEWHERE_CONNECTIONS: u32 = 4;

/// Handles to the outside. Cloning it clones handles.
#[derive(Clone)]
pub struct Context {
    pub db: PgPool,
    pub doorbell: Doorbell,
    pub provider: Arc<dyn Provider>,
    pub carrier: Arc<dyn Carrier>,
    pub recorder: Recorder,
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
    /// Starts the recorder too, so it is called once a process.
    pub fn new(common: &Common, work: &Work) -> anyhow::Result<Self> {
        let db = common.pool("millrace-worker").map_err(anyhow::Error::msg)?;
        let doorbell = Doorbell::new(common.queue_redis(), &common.redis_prefix)?;
        // The simulated ones are elsewhere, as it were: never on our connections, never in our transactions.
        let elsewhere =
            shared::db::pool(common.database_url.expose_secret(), ELSEWHERE_CONNECTIONS, "millrace-simulated")?;
        let provider = match work.payment_provider {
            config::Provider::Simulated => payments::simulated::Simulated::new(elsewhere.clone(), work.payment_latency),
        };
        Ok(Self {
            provider: Arc::new(provider),
            carrier: Arc::new(shipping::simulated::Simulated::new(elsewhere, Duration::ZERO)),
            recorder: Recorder::start(db.clone(), doorbell.clone()),
            terms: Terms {
                max_attempts: work.job_max_attempts,
                retry: Schedule { initial: work.retry_initial, max: work.retry_max },
                delivery_delay: work.delivery_delay,
            },
            db,
            doorbell,
        })
    }

    /// For a job that follows at once from this one.
    pub fn next(&self, job: &Held) -> Plan {
        job.plan(Duration::ZERO, self.terms.max_attempts)
    }
}
