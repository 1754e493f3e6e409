//! What every handler gets beside its job: connections to the outside, and settings.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shared::payments::simulated::Scripts;
use shared::payments::{self, PaymentProvider};
use shared::platform::db::Database;
use shared::platform::settings::Common;
use shared::queue::doorbell::Doorbell;
use shared::queue::retry::Schedule;
use shared::queue::{LeasedJob, Plan, Queue};
use shared::shipping::{self, Carrier};
use shared::webhooks::times::RetryTimes;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Transport, Work};
use crate::fleet::slots;
use crate::fleet::transport::apalis_redis::RedisStorageTransport;
use crate::steps::Steps;
use crate::waiting_payments::WaitingPayments;
use crate::webhooks::client::GuardedClient;
use crate::webhooks::send::Deliverer;

/// The latency of the simulated carrier.
const CARRIER_LATENCY: Duration = Duration::from_millis(20);

/// Where no setting says how many: as many as a worker with the default settings runs.
const PAYMENTS_AT_ONCE: usize = 24;

/// Cloning it clones handles.
#[derive(Clone)]
pub struct Context {
    pub db: PgPool,
    pub doorbell: Doorbell,
    /// The other transport, if the settings choose it instead of the doorbell.
    pub redis_storage: Option<RedisStorageTransport>,
    pub provider: Arc<dyn PaymentProvider>,
    pub carrier: Arc<dyn Carrier>,
    pub steps: Steps,
    pub payments: Arc<WaitingPayments>,
    pub terms: JobTerms,
    /// Sends webhooks.
    pub deliverer: Deliverer,
    pub archive: ArchivePlan,
    /// Cancelled when the process is asked to stop. Jobs that run for long look at it.
    pub stopping: CancellationToken,
}

/// The settings that handlers need.
#[derive(Debug, Clone, Copy)]
pub struct JobTerms {
    pub max_attempts: i32,
    pub retry: Schedule,
    pub delivery_delay: Duration,
}

/// Where old history goes, and when.
#[derive(Debug, Clone)]
pub struct ArchivePlan {
    /// None: it stays in the database.
    pub dir: Option<PathBuf>,
    /// How long after its end a month stays in the database.
    pub after: Duration,
}

impl Context {
    /// Connects as the settings say.
    pub fn connect(database: &Database, common: &Common, work: &Work) -> anyhow::Result<Self> {
        let pool = |name| database.pool(common.database_max_connections, name);
        // The simulated provider and carrier have connections of their own, as real ones would.
        let provider: Arc<dyn PaymentProvider> = match work.payment_provider {
            None => anyhow::bail!("PAYMENT_PROVIDER is missing"),
            Some(config::ProviderName::Simulated) => Arc::new(payments::simulated::SimulatedProvider::new(
                pool("millrace-simulated-provider"),
                work.payment_latency,
                if work.simulated_scripts { Scripts::On } else { Scripts::Off },
            )),
        };
        let carrier = shipping::simulated::SimulatedCarrier::new(pool("millrace-simulated-carrier"), CARRIER_LATENCY);
        let terms = JobTerms {
            max_attempts: work.jobs.job_max_attempts,
            retry: Schedule { initial: work.retry_initial, max: work.retry_max, budget: work.jobs.job_max_attempts },
            delivery_delay: work.jobs.delivery_delay,
        };
        let doorbell = Doorbell::new(common.queue_redis(), &common.redis_prefix)?;
        let redis_storage = match (work.queue_transport, common.queue_redis()) {
            (Transport::ApalisRedis, Some(url)) => Some(RedisStorageTransport::new(url, &common.redis_prefix)?),
            _ => None,
        };
        let payments = WaitingPayments::new(slots::share(Queue::High, work.worker_concurrency.into()));
        let deliverer = Deliverer {
            client: GuardedClient::new(&work.webhooks.webhook_allow)?,
            key: work.webhooks.webhook_master_key.clone(),
            times: RetryTimes { scale: work.webhook_retry_scale },
            timeout: work.webhook_timeout,
        };
        Ok(Self {
            redis_storage,
            payments,
            deliverer,
            archive: ArchivePlan { dir: work.archive_dir.clone(), after: work.archive_after },
            ..Self::new(pool("millrace-worker"), doorbell, provider, Arc::new(carrier), terms)
        })
    }

    /// Also starts the tasks of the steps, so call it once per process.
    pub fn new(
        db: PgPool,
        doorbell: Doorbell,
        provider: Arc<dyn PaymentProvider>,
        carrier: Arc<dyn Carrier>,
        terms: JobTerms,
    ) -> Self {
        let steps = Steps::start(&db, &doorbell, None);
        let payments = WaitingPayments::new(PAYMENTS_AT_ONCE);
        let deliverer = Deliverer::off().expect("a client without settings can be made");
        let archive = ArchivePlan { dir: None, after: Duration::MAX };
        let stopping = CancellationToken::new();
        Self {
            db,
            doorbell,
            redis_storage: None,
            provider,
            carrier,
            steps,
            payments,
            terms,
            deliverer,
            archive,
            stopping,
        }
    }

    /// The plan for a job that follows from this one at once.
    pub fn next(&self, job: &LeasedJob) -> Plan {
        job.plan(Duration::ZERO, self.terms.max_attempts)
    }
}
