//! A worker under the test's control. The test decides when it claims a job, when it runs it, and which payment
//! provider and carrier it calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::payments::PaymentProvider;
use shared::queue::claim::{self, Claimer};
use shared::queue::doorbell::Doorbell;
use shared::queue::retry::Schedule;
use shared::queue::{Lease, LeasedJob, Queue, WorkerId, settle};
use shared::shipping::Carrier;
use shared::shipping::simulated::SimulatedCarrier;
use shared::values::{JobId, OrderId};
use sqlx::PgPool;
use uuid::Uuid;
use worker::context::{Context, JobTerms};
use worker::error::{Done, JobError, JobResult};

use crate::app::TestApp;
use crate::providers::simulated;
use crate::until::until;

const LEASE: Duration = Duration::from_secs(10);
const RETRY: Schedule = Schedule { initial: Duration::from_millis(1), max: Duration::from_millis(4), budget: 8 };

pub struct ManualWorker<'a> {
    app: &'a TestApp,
    pub ctx: Context,
}

impl<'a> ManualWorker<'a> {
    /// With the simulated provider and carrier.
    pub fn of(app: &'a TestApp) -> Self {
        Self::with(app, app.state.db.clone(), Arc::new(simulated(app)), Arc::new(carrier(app)))
    }

    pub fn with_provider(app: &'a TestApp, provider: Arc<dyn PaymentProvider>) -> Self {
        Self::with(app, app.state.db.clone(), provider, Arc::new(carrier(app)))
    }

    pub fn with_carrier(app: &'a TestApp, carrier: Arc<dyn Carrier>) -> Self {
        Self::with(app, app.state.db.clone(), Arc::new(simulated(app)), carrier)
    }

    /// With its own connection pool.
    pub fn with_pool(app: &'a TestApp, db: PgPool) -> Self {
        Self::with(app, db, Arc::new(simulated(app)), Arc::new(carrier(app)))
    }

    fn with(app: &'a TestApp, db: PgPool, provider: Arc<dyn PaymentProvider>, carrier: Arc<dyn Carrier>) -> Self {
        let terms = JobTerms { max_attempts: 8, retry: RETRY, delivery_delay: Duration::ZERO };
        let doorbell = Doorbell::new(None, "").unwrap();
        Self { app, ctx: Context::new(db, doorbell, provider, carrier, terms) }
    }

    /// Claims the only ready job of this kind.
    pub async fn take(&self, kind: &str) -> LeasedJob {
        let ready = "select id from jobs where kind = $1 and state = 'ready'";
        let ids: Vec<Uuid> = sqlx::query_scalar(ready).bind(kind).fetch_all(&self.app.db).await.unwrap();
        assert_eq!(ids.len(), 1, "one job of the kind {kind} is ready");
        self.claim(ids[0]).await
    }

    /// Claims every due job of these kinds.
    pub async fn take_all(&self, kinds: &[&str]) -> Vec<LeasedJob> {
        let is_wanted = |name: &String| kinds.iter().any(|kind| name.split('/').next() == Some(kind));
        let claimer =
            Claimer { kinds: worker::jobs::registry().kinds().into_iter().filter(is_wanted).collect(), ..claimer() };
        let mut conn = self.app.db.acquire().await.unwrap();
        claim::next(&mut conn, &claimer, &Queue::ALL.map(|queue| (queue, 1000)), 1000).await.unwrap()
    }

    /// Claims a ready job. A job that waits for its next attempt is due within milliseconds.
    async fn claim(&self, id: Uuid) -> LeasedJob {
        let mut conn = self.app.db.acquire().await.unwrap();
        loop {
            let mut taken = claim::by_ids(&mut conn, &claimer(), &[JobId(id)]).await.unwrap();
            if let Some(job) = taken.pop() {
                return job;
            }
        }
    }

    /// The same attempt as seen by a process that has not renewed the lease in time.
    pub fn with_a_stale_lease(job: &LeasedJob) -> LeasedJob {
        LeasedJob { lease: Arc::new(Lease::new(Instant::now().checked_sub(LEASE).unwrap(), LEASE)), ..job.clone() }
    }

    /// Makes the job ready again, as queue maintenance does when the lease has expired.
    pub async fn lose(&self, job: &LeasedJob) {
        sqlx::query("update jobs set state = 'ready', lease_until = null where id = $1")
            .bind(job.id.0)
            .execute(&self.app.db)
            .await
            .unwrap();
    }

    /// Runs the handler of a job without settling the job.
    pub async fn attempt(&self, job: &LeasedJob) -> JobResult {
        worker::jobs::registry().run(job.clone(), self.ctx.clone()).await
    }

    /// Runs an attempt and settles it, as the fleet does.
    pub async fn carry_out(&self, job: &LeasedJob) -> JobResult {
        let result = self.attempt(job).await;
        let mut conn = self.app.db.acquire().await.unwrap();
        match &result {
            Ok(Done::Recorded) => {}
            Ok(Done::NothingToDo) => _ = settle::finish_many(&mut conn, &[(job.id, job.attempt)]).await.unwrap(),
            Ok(Done::Postponed) => _ = settle::postpone(&mut conn, job, Duration::ZERO).await.unwrap(),
            Err(error) => {
                if let Some(failure) = error.failure() {
                    settle::fail(&mut conn, job, &failure, RETRY).await.unwrap();
                }
            }
        }
        result
    }

    /// Claims the only ready job of this kind and runs it.
    pub async fn run_one(&self, kind: &str) -> JobResult {
        let job = self.take(kind).await;
        self.carry_out(&job).await
    }

    /// Runs the payment job of an order.
    pub async fn pay(&self, order: OrderId) {
        let payment = "select id from jobs where order_id = $1 and kind = 'process_payment' and state = 'ready'";
        let id = sqlx::query_scalar(payment).bind(order.0).fetch_one(&self.app.db).await.unwrap();
        let job = self.claim(id).await;
        assert_eq!(self.carry_out(&job).await.unwrap(), Done::Recorded);
    }

    /// Runs jobs until none is ready.
    pub async fn run(&self) {
        let queues: Vec<(Queue, i64)> = Queue::ALL.into_iter().map(|queue| (queue, 10)).collect();
        until("no job is ready", async || {
            let mut conn = self.app.db.acquire().await.unwrap();
            for job in claim::next(&mut conn, &claimer(), &queues, 10).await.unwrap() {
                _ = self.carry_out(&job).await;
            }
            let ready = sqlx::query_scalar("select not exists (select from jobs where state = 'ready')");
            ready.fetch_one(&mut *conn).await.unwrap()
        })
        .await;
    }
}

fn carrier(app: &TestApp) -> SimulatedCarrier {
    SimulatedCarrier::new(app.state.db.clone(), Duration::ZERO)
}

fn claimer() -> Claimer {
    Claimer { worker: WorkerId(Uuid::now_v7()), lease: LEASE, kinds: worker::jobs::registry().kinds() }
}

impl TestApp {
    /// The states of all charges at the provider, oldest first.
    pub async fn books(&self) -> Vec<String> {
        sqlx::query_scalar("select state from simulated_charges order by created_at").fetch_all(&self.db).await.unwrap()
    }

    /// The number of jobs of a kind, in any state.
    pub async fn jobs(&self, kind: &str) -> i64 {
        sqlx::query_scalar("select count(*) from jobs where kind = $1").bind(kind).fetch_one(&self.db).await.unwrap()
    }
}

#[track_caller]
pub fn assert_transient(result: &JobResult, says: &str) {
    assert!(matches!(result, Err(JobError::Transient(error)) if error.contains(says)), "{result:?}");
}
