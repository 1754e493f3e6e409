//! A worker that does what a test says: it takes a job when told, carries it out when told, and asks the
//! provider that the test gave it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use shared::payments::{self, Outcome, PaymentProvider, ProviderError};
use shared::queue::claim::{self, Claimer};
use shared::queue::doorbell::Doorbell;
use shared::queue::retry::Schedule;
use shared::queue::{Lease, LeasedJob, Queue, WorkerId, settle};
use shared::shipping;
use shared::values::{JobId, Money};
use tokio::sync::Semaphore;
use uuid::Uuid;
use worker::context::{Context, JobTerms};
use worker::error::{Done, JobError, JobResult};

use crate::app::{Person, Reply, TestApp, until};

const LEASE: Duration = Duration::from_secs(10);
const RETRY: Schedule = Schedule { initial: Duration::from_millis(1), max: Duration::from_millis(4), budget: 8 };

pub struct ManualWorker<'a> {
    app: &'a TestApp,
    pub ctx: Context,
}

impl<'a> ManualWorker<'a> {
    /// With the simulated provider.
    pub fn of(app: &'a TestApp) -> Self {
        let provider = simulated(app);
        Self::asking(app, Arc::new(provider))
    }

    pub fn asking(app: &'a TestApp, provider: Arc<dyn PaymentProvider>) -> Self {
        let carrier = shipping::simulated::SimulatedCarrier::new(app.db.clone(), Duration::ZERO);
        let terms = JobTerms { max_attempts: 8, retry: RETRY, delivery_delay: Duration::ZERO };
        let nobody = Doorbell::new(None, "").unwrap();
        Self { app, ctx: Context::new(app.db.clone(), nobody, provider, Arc::new(carrier), terms) }
    }

    /// Takes the job of this kind that is ready.
    pub async fn take(&self, kind: &str) -> LeasedJob {
        let ids: Vec<Uuid> = sqlx::query_scalar("select id from jobs where kind = $1 and state = 'ready'")
            .bind(kind)
            .fetch_all(&self.app.db)
            .await
            .unwrap();
        assert_eq!(ids.len(), 1, "one job of the kind {kind} is ready");
        let mut conn = self.app.db.acquire().await.unwrap();
        // A job that waits for its next attempt is due in milliseconds.
        loop {
            let mut taken = claim::by_ids(&mut conn, &claimer(), &[JobId(ids[0])]).await.unwrap();
            if let Some(job) = taken.pop() {
                return job;
            }
        }
    }

    /// The same attempt, by a process that could not renew its lease for as long as it has it.
    pub fn with_a_stale_lease(job: &LeasedJob) -> LeasedJob {
        LeasedJob { lease: Arc::new(Lease::new(Instant::now().checked_sub(LEASE).unwrap(), LEASE)), ..job.clone() }
    }

    /// Its worker is lost: another may take it.
    pub async fn lose(&self, job: &LeasedJob) {
        sqlx::query("update jobs set state = 'ready', lease_until = null where id = $1")
            .bind(job.id.0)
            .execute(&self.app.db)
            .await
            .unwrap();
    }

    /// Carries an attempt out and settles it as the fleet does.
    pub async fn carry_out(&self, job: &LeasedJob) -> JobResult {
        let result = worker::jobs::carry_out(job, &self.ctx).await;
        let mut conn = self.app.db.acquire().await.unwrap();
        match &result {
            Ok(Done::Recorded) => {}
            Ok(Done::NothingToDo) => _ = settle::finish_many(&mut conn, &[(job.id, job.attempt)]).await.unwrap(),
            Err(error) => {
                if let Some(failure) = error.failure() {
                    settle::fail(&mut conn, job, &failure, RETRY).await.unwrap();
                }
            }
        }
        result
    }

    /// Takes the one job of this kind and carries it out.
    pub async fn run_one(&self, kind: &str) -> JobResult {
        let job = self.take(kind).await;
        self.carry_out(&job).await
    }

    /// Carries out whatever there is, until nothing is ready any more.
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

fn claimer() -> Claimer {
    Claimer { worker: WorkerId(Uuid::now_v7()), lease: LEASE, kinds: worker::jobs::known() }
}

pub fn simulated(app: &TestApp) -> payments::simulated::SimulatedProvider {
    payments::simulated::SimulatedProvider::new(app.db.clone(), Duration::ZERO)
}

/// A provider that stops where a charge is on its way, or where its answer is, until it is told to go on.
pub struct Gated {
    inner: payments::simulated::SimulatedProvider,
    stops: Stops,
    pub asked: Semaphore,
    pub go_on: Semaphore,
    pub charges: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stops {
    BeforeCharging,
    BeforeAnswering,
    Never,
}

impl Gated {
    pub fn new(app: &TestApp, stops: Stops) -> Arc<Self> {
        let (asked, go_on, charges) = (Semaphore::new(0), Semaphore::new(0), AtomicUsize::new(0));
        Arc::new(Self { inner: simulated(app), stops, asked, go_on, charges })
    }

    async fn stop(&self, here: Stops) {
        if self.stops == here {
            self.asked.add_permits(1);
            self.go_on.acquire().await.unwrap().forget();
        }
    }

    /// Waits until a charge has come to where it stops.
    pub async fn until_asked(&self) {
        self.asked.acquire().await.unwrap().forget();
    }

    pub fn let_go(&self) {
        self.go_on.add_permits(1);
    }
}

impl PaymentProvider for Gated {
    fn charge<'a>(&'a self, key: Uuid, amount: Money, token: &'a str) -> BoxFuture<'a, Result<Outcome, ProviderError>> {
        async move {
            self.stop(Stops::BeforeCharging).await;
            self.charges.fetch_add(1, Ordering::SeqCst);
            let outcome = self.inner.charge(key, amount, token).await;
            self.stop(Stops::BeforeAnswering).await;
            outcome
        }
        .boxed()
    }

    fn find(&self, key: Uuid) -> BoxFuture<'_, Result<Option<Outcome>, ProviderError>> {
        self.inner.find(key)
    }

    fn void(&self, key: Uuid) -> BoxFuture<'_, Result<Outcome, ProviderError>> {
        self.inner.void(key)
    }
}

impl Person<'_> {
    /// Orders two of this, paid with this token; answers where the order is.
    pub async fn order(&self, sku: &str, token: &str) -> String {
        let body = json!({
            "items": [{ "sku": sku, "quantity": 2 }],
            "payment_token": token,
            "shipping_address": { "line1": "1 Mill Lane" },
        });
        let placed = self.post("/v1/orders", body).await.done(201);
        format!("/v1/orders/{}", placed.id())
    }

    pub async fn see(&self, order: &str) -> Value {
        self.get(order).await.done(200).body
    }

    pub async fn move_to(&self, order: &str, status: &str) -> Reply {
        self.patch(&format!("{order}/status"), json!({ "status": status })).await
    }

    pub async fn cancel(&self, order: &str) -> Reply {
        self.post(&format!("{order}/cancel"), json!({})).await
    }

    /// What happened to the order, in its order.
    pub async fn story(&self, order: &str) -> Vec<String> {
        let events = self.get(&format!("{order}/events")).await.done(200);
        let events = events.body["data"].as_array().unwrap().clone();
        for (event, sequence) in events.iter().zip(1..) {
            assert_eq!(event["sequence"], sequence, "no gaps");
        }
        events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }
}

/// What the provider's books hold of every key.
pub async fn books(app: &TestApp) -> Vec<String> {
    sqlx::query_scalar("select state from simulated.charges order by created_at").fetch_all(&app.db).await.unwrap()
}

/// What is on hand and reserved, over all stock.
pub async fn stock(app: &TestApp) -> (i64, i64) {
    sqlx::query_as("select sum(on_hand), sum(reserved) from inventory").fetch_one(&app.db).await.unwrap()
}

/// How many jobs of a kind there are, whatever became of them.
pub async fn jobs(app: &TestApp, kind: &str) -> i64 {
    sqlx::query_scalar("select count(*) from jobs where kind = $1").bind(kind).fetch_one(&app.db).await.unwrap()
}

#[track_caller]
pub fn assert_transient(result: &JobResult, says: &str) {
    assert!(matches!(result, Err(JobError::Transient(error)) if error.contains(says)), "{result:?}");
}
