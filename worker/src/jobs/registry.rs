//! The registry of jobs: what the worker knows about each kind.
//!
//! The number of attempts is not here: it is in each job's row, since the API writes jobs too.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cron::Schedule;
use futures::FutureExt;
use futures::future::BoxFuture;
use shared::queue::{self, Job, LeasedJob, Plan, Ring, settle};
use shared::schedule::{self, ScheduledJob};
use sqlx::PgPool;
use tokio::sync::Semaphore;

use crate::config::Work;
use crate::context::Context;
use crate::error::{Done, JobError, JobResult};

/// The time limit of an attempt, unless the line of its kind has another: twice what the slowest provider takes.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// All kinds of job that this binary knows.
#[derive(Default)]
#[must_use = "only a worker carries jobs out"]
pub struct Registry {
    kinds: Vec<Entry>,
}

struct Entry {
    name: &'static str,
    version: i16,
    /// How long an attempt may take.
    time_limit: Duration,
    /// How many of this kind a worker runs at once. None: as many as its queue's share allows.
    places: Option<Arc<Semaphore>>,
    /// Does it run beside the slots, because it only waits for others?
    beside_slots: bool,
    run: Handler,
    clock: Option<Clock>,
}

/// Decodes the payload and carries the job out.
type Handler = Box<dyn Fn(LeasedJob, Context) -> BoxFuture<'static, JobResult> + Send + Sync>;

/// Writes the job of a tick, unless another worker has written it already.
type Enqueue = fn(PgPool, DateTime<Utc>, Plan) -> BoxFuture<'static, shared::error::Result<Option<Ring>>>;

/// When a kind runs by the clock, and how the job of a tick is written.
#[derive(Clone, Copy)]
pub struct Clock {
    pub kind: &'static str,
    /// What it does, for staff.
    pub what: &'static str,
    pub schedule: fn(&Work) -> Schedule,
    pub enqueue: Enqueue,
}

impl Registry {
    /// Adds a kind of job with its handler.
    pub fn on<J: Job, F>(mut self, handler: impl Fn(J, LeasedJob, Context) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = JobResult> + Send + 'static,
    {
        assert!(self.find(J::KIND, J::VERSION).is_none(), "the kind {}/{} is registered twice", J::KIND, J::VERSION);
        let run: Handler = Box::new(move |job, ctx| match job.decode::<J>() {
            Ok(payload) => handler(payload, job, ctx).boxed(),
            Err(error) => std::future::ready(Err(JobError::undecodable(&error))).boxed(),
        });
        self.kinds.push(Entry {
            name: J::KIND,
            version: J::VERSION,
            time_limit: TIME_LIMIT,
            places: None,
            beside_slots: false,
            run,
            clock: None,
        });
        self
    }

    /// Adds a kind of job that runs by the clock. Its success is written down together with its end.
    pub fn every<J: ScheduledJob, F>(
        self,
        schedule: fn(&Work) -> Schedule,
        handler: impl Fn(J, LeasedJob, Context) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        let mut registry = self.on(move |payload: J, job, ctx| {
            let handling = handler(payload, job.clone(), ctx.clone());
            async move {
                handling.await?;
                succeed(J::KIND, &job, &ctx).await
            }
        });
        registry.last().clock = Some(Clock {
            kind: J::KIND,
            what: J::WHAT,
            schedule,
            enqueue: |db, tick, plan| enqueue::<J>(db, tick, plan).boxed(),
        });
        registry
    }

    /// Sets the time limit of the kind that was added last.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.last().time_limit = limit;
        self
    }

    /// Sets how many jobs of the kind that was added last a worker runs at once. A further one is postponed, so that
    /// another worker can take it and this one runs other jobs meanwhile.
    pub fn at_once(mut self, most: usize) -> Self {
        self.last().places = Some(Arc::new(Semaphore::new(most)));
        self
    }

    /// As `at_once`, for a kind that waits for the network nearly all the time: its jobs give their slots back when they
    /// begin.
    pub fn beside_slots(mut self, most: usize) -> Self {
        self.last().beside_slots = true;
        self.at_once(most)
    }

    /// Does this job run beside the slots?
    pub fn is_beside_slots(&self, job: &LeasedJob) -> bool {
        self.find(&job.kind, job.version).is_some_and(|kind| kind.beside_slots)
    }

    fn last(&mut self) -> &mut Entry {
        self.kinds.last_mut().expect("a kind was added before")
    }

    fn find(&self, kind: &str, version: i16) -> Option<&Entry> {
        self.kinds.iter().find(|it| it.name == kind && it.version == version)
    }

    /// What this worker can carry out, each as `kind/version`.
    pub fn kinds(&self) -> Vec<String> {
        self.kinds.iter().map(|kind| format!("{}/{}", kind.name, kind.version)).collect()
    }

    pub fn clocks(&self) -> Vec<Clock> {
        self.kinds.iter().filter_map(|kind| kind.clock).collect()
    }

    /// Carries a job out, within the limits of its kind.
    pub async fn run(&self, job: LeasedJob, ctx: Context) -> JobResult {
        let Some(kind) = self.find(&job.kind, job.version) else {
            let error = format!("this worker does not know the kind `{}/{}`", job.kind, job.version);
            return Err(JobError::Permanent(error));
        };
        // No limit is no refusal: without `places`, the result is `Ok(None)`.
        let Ok(_place) = kind.places.clone().map(Semaphore::try_acquire_owned).transpose() else {
            return Ok(Done::Postponed);
        };
        match tokio::time::timeout(kind.time_limit, (kind.run)(job, ctx)).await {
            Ok(result) => result,
            Err(_) => Err(JobError::Transient(format!("the attempt took longer than {:?}", kind.time_limit))),
        }
    }
}

async fn enqueue<J: ScheduledJob>(db: PgPool, tick: DateTime<Utc>, plan: Plan) -> shared::error::Result<Option<Ring>> {
    queue::enqueue(&mut *db.acquire().await?, &J::at(tick), &plan).await
}

/// Finishes a job that ran by the clock, and writes down that its kind has succeeded.
pub async fn succeed(kind: &str, job: &LeasedJob, ctx: &Context) -> JobResult {
    let mut tx = ctx.db.begin().await?;
    settle::finish(&mut tx, job).await?;
    schedule::succeeded(&mut tx, kind).await?;
    tx.commit().await?;
    Ok(Done::Recorded)
}

/// A schedule that is written in the code: cron, with seconds first.
pub fn cron(text: &str) -> Schedule {
    Schedule::from_str(text).expect("a schedule in the code is valid")
}
