//! What every handler gets beside its job.

use std::sync::Arc;
use std::time::Duration;

use shared::payments::{self, PaymentProvider};
use shared::platform::settings::Common;
use shared::queue::doorbell::Doorbell;
use shared::queue::retry::Schedule;
use shared::queue::{LeasedJob, Plan};
use shared::shipping::{self, Carrier};
use sqlx::PgPool;

use crate::config::{self, Transport, Work};
use crate::fleet::batch::Recorder;
use crate::fleet::transport::apalis_redis::RedisStorageTransport;

/// How long the simulated carrier takes to answer.
const CARRIER_LATENCY: Duration = Duration::from_millis(20);

/// Handles to the outside. Cloning it clones handles.
#[derive(Clone)]
pub struct Context {
    pub db: PgPool,
    pub doorbell: Doorbell,
    /// Where the worker hears of jobs instead of the doorbell.
    pub stock: Option<RedisStorageTransport>,
    pub provider: Arc<dyn PaymentProvider>,
    pub carrier: Arc<dyn Carrier>,
    pub recorder: Recorder,
    pub terms: JobTerms,
}

/// The settings that handlers ask for.
#[derive(Debug, Clone, Copy)]
pub struct JobTerms {
    pub max_attempts: i32,
    pub retry: Schedule,
    pub delivery_delay: Duration,
}

impl Context {
    /// As the settings say.
    pub fn connect(common: &Common, work: &Work) -> anyhow::Result<Self> {
        let database = common.database().map_err(anyhow::Error::msg)?;
        let pool = |name| database.pool(common.database_max_connections, name);
        // The simulated ones keep their books on connections of their own, as somebody else's would be.
        let provider: Arc<dyn PaymentProvider> = match work.payment_provider {
            config::ProviderName::Simulated => Arc::new(payments::simulated::SimulatedProvider::new(
                pool("millrace-simulated-provider"),
                work.payment_latency,
            )),
        };
        let carrier = shipping::simulated::SimulatedCarrier::new(pool("millrace-simulated-carrier"), CARRIER_LATENCY);
        let terms = JobTerms {
            max_attempts: work.jobs.job_max_attempts,
            retry: Schedule { initial: work.retry_initial, max: work.retry_max, budget: work.jobs.job_max_attempts },
            delivery_delay: work.jobs.delivery_delay,
        };
        let doorbell = Doorbell::new(common.queue_redis(), &common.redis_prefix)?;
        let stock = match (work.queue_transport, common.queue_redis()) {
            (Transport::ApalisRedis, Some(url)) => Some(RedisStorageTransport::new(url, &common.redis_prefix)?),
            _ => None,
        };
        Ok(Self { stock, ..Self::new(pool("millrace-worker"), doorbell, provider, Arc::new(carrier), terms) })
    }

    /// Starts the recorder too, so it is called once a process.
    pub fn new(
        db: PgPool,
        doorbell: Doorbell,
        provider: Arc<dyn PaymentProvider>,
        carrier: Arc<dyn Carrier>,
        terms: JobTerms,
    ) -> Self {
        let recorder = Recorder::start(db.clone(), doorbell.clone());
        Self { db, doorbell, stock: None, provider, carrier, recorder, terms }
    }

    /// For a job that follows at once from this one.
    pub fn next(&self, job: &LeasedJob) -> Plan {
        job.plan(Duration::ZERO, self.terms.max_attempts)
    }
}
