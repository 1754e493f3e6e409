//! Surrounds every handler with a span, one log line, and the end of the attempt in the database. The layer inside of it
//! catches panics.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use apalis_core::error::BoxDynError;
use apalis_core::task::Task;
use futures::future::BoxFuture;
use shared::metrics::jobs::{JobMetrics, outcome};
use shared::platform::telemetry::trace;
use shared::queue::doorbell::Doorbell;
use shared::queue::retry::Schedule;
use shared::queue::settle::{self, AttemptFailure, Fate};
use shared::queue::{LeasedJob, Ring};
use shared::values::JobId;
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};
use tower::{Layer, Service};
use tracing::{Instrument, Span, error_span, field};

use crate::error::{Done, JobError};
use crate::fleet::slots::ClaimedJob;

/// How often we try to write the end of an attempt. After that, the lease expires.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);
/// How long a job waits that may not run yet.
const POSTPONED_FOR: Duration = Duration::from_millis(500);
/// The most jobs that one statement finishes.
const FINISHED_TOGETHER: usize = 500;

/// Writes down how attempts ended.
pub struct Settler {
    pub db: PgPool,
    pub doorbell: Doorbell,
    pub schedule: Schedule,
    metrics: JobMetrics,
    finished: mpsc::Sender<Finished>,
}

struct Finished {
    job: JobId,
    attempt: i32,
    written: oneshot::Sender<()>,
}

impl Settler {
    /// Starts the task that finishes jobs together.
    pub fn start(db: PgPool, doorbell: Doorbell, schedule: Schedule, metrics: JobMetrics) -> Arc<Self> {
        let (finished, waiting) = mpsc::channel(FINISHED_TOGETHER);
        tokio::spawn(finish_together(db.clone(), waiting));
        Arc::new(Self { db, doorbell, schedule, metrics, finished })
    }

    async fn settle(&self, job: &LeasedJob, result: Result<Done, BoxDynError>) -> &'static str {
        match result {
            Ok(Done::Recorded) => outcome::DONE,
            Ok(Done::NothingToDo) => {
                let (written, when_written) = oneshot::channel();
                let finished = Finished { job: job.id, attempt: job.attempt, written };
                if self.finished.send(finished).await.is_ok() {
                    drop(when_written.await);
                }
                outcome::DONE
            }
            Ok(Done::Postponed) => self.postpone(job).await,
            Err(error) => match failure(error.as_ref()) {
                None => outcome::LEASE_LOST,
                Some(failure) => self.fail(job, &failure).await,
            },
        }
    }

    /// If this fails, the lease expires, which costs the job an attempt.
    async fn postpone(&self, job: &LeasedJob) -> &'static str {
        let postponed = async {
            let mut conn = self.db.acquire().await?;
            settle::postpone(&mut conn, job, POSTPONED_FOR).await
        };
        match postponed.await {
            Ok(ring) => {
                self.doorbell.ring(ring);
                outcome::POSTPONED
            }
            Err(error) => {
                tracing::warn!(%error, "a job could not be postponed: {error}");
                outcome::UNSETTLED
            }
        }
    }

    async fn fail(&self, job: &LeasedJob, failure: &AttemptFailure) -> &'static str {
        for _ in 0..TRIES {
            let failed = async {
                let mut conn = self.db.acquire().await?;
                settle::fail(&mut conn, job, failure, self.schedule).await
            };
            match failed.await {
                Ok(Fate::Again { run_at }) => {
                    Span::current().record("error", &failure.error).record("run_at", field::display(run_at));
                    self.doorbell.ring([Ring::again(job.queue, job.id, run_at)]);
                    return outcome::RETRIED;
                }
                Ok(Fate::Dead) => {
                    Span::current().record("error", &failure.error);
                    return outcome::DEAD;
                }
                Ok(Fate::NotOurs) => return outcome::LEASE_LOST,
                Err(error) => tracing::warn!(%error, "a failed attempt could not be written down: {error}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
        outcome::UNSETTLED
    }
}

fn failure(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<AttemptFailure> {
    if let Some(error) = error.downcast_ref::<JobError>() {
        return error.failure();
    }
    // Any other error is a panic that apalis has caught.
    Some(AttemptFailure { permanent: false, error: format!("the handler failed: {error}") })
}

/// Finishes jobs together: while one statement runs, further jobs gather for the next. There is no timer, so an idle worker
/// finishes a job at once.
async fn finish_together(db: PgPool, mut waiting: mpsc::Receiver<Finished>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, FINISHED_TOGETHER).await > 0 {
        let jobs: Vec<(JobId, i32)> = batch.iter().map(|one| (one.job, one.attempt)).collect();
        for _ in 0..TRIES {
            let finished = async {
                let mut conn = db.acquire().await?;
                settle::finish_many(&mut conn, &jobs).await
            };
            match finished.await {
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, jobs = jobs.len(), "finished jobs could not be written down: {error}");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        for one in batch.drain(..) {
            _ = one.written.send(()); // A caller that was stopped does not wait any more.
        }
    }
}

#[derive(Clone)]
pub struct SettleLayer(pub Arc<Settler>);

impl<S> Layer<S> for SettleLayer {
    type Service = Settle<S>;

    fn layer(&self, inner: S) -> Settle<S> {
        Settle { settler: self.0.clone(), inner }
    }
}

#[derive(Clone)]
pub struct Settle<S> {
    settler: Arc<Settler>,
    inner: S,
}

impl<S> Service<Task<ClaimedJob>> for Settle<S>
where
    S: Service<Task<ClaimedJob>, Response = Done>,
    S::Error: Into<BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<(), BoxDynError>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    /// For apalis every attempt succeeds. How it really ended is in the database.
    fn call(&mut self, mut task: Task<ClaimedJob>) -> Self::Future {
        let span = job_span(&task.args.job);
        // This span continues the span of the job's cause. Jobs that follow from this one continue this span.
        let cause = task.args.job.origin.trace_parent.as_deref().and_then(|cause| cause.parse().ok());
        task.args.job.origin.trace_parent = Some(trace::join(&span, cause).to_string());
        let ClaimedJob { job, slot } = task.args.clone();
        let settler = self.settler.clone();
        let handling = self.inner.call(task);
        let settled = async move {
            let started = Instant::now();
            let waited = settler.metrics.claimed(&job);
            let result = handling.await.map_err(Into::into);
            let elapsed = started.elapsed();
            let outcome = settler.settle(&job, result).await;
            settler.metrics.ended(&job, outcome, waited, elapsed);
            log(&job, outcome, elapsed);
            drop(slot);
            Ok(())
        };
        Box::pin(settled.instrument(span))
    }
}

/// A span of the level `ERROR`: so it exists at every log level, and all lines inside it name their job.
fn job_span(job: &LeasedJob) -> Span {
    error_span!(
        "job", otel.name = job.kind, otel.kind = "consumer", otel.status_code = field::Empty, job_id = %job.id,
        kind = job.kind, attempt = job.attempt, queue = job.queue.name(), request_id = job.origin.request_id,
        trace_id = field::Empty, order_id = job.subject.map(field::display), outcome = field::Empty,
        error = field::Empty, run_at = field::Empty,
    )
}

/// Logs the one line of an attempt: an error if a person must act, a warning if the job is tried again.
fn log(job: &LeasedJob, ended: &'static str, elapsed: Duration) {
    let LeasedJob { kind, attempt, .. } = job;
    let duration_ms = elapsed.as_secs_f64() * 1000.0;
    Span::current().record("outcome", ended);
    if ended != outcome::DONE && ended != outcome::POSTPONED {
        Span::current().record("otel.status_code", "error");
    }
    match ended {
        outcome::DONE => tracing::info!(duration_ms, "{kind} {ended}"),
        outcome::POSTPONED => tracing::debug!(duration_ms, "{kind} {ended}"),
        outcome::DEAD => tracing::error!(duration_ms, "{kind} is dead after attempt {attempt} and waits for a person"),
        _ => tracing::warn!(duration_ms, "{kind} {ended} in attempt {attempt}"),
    }
}
