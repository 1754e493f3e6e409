//! What surrounds every handler: a span, one log line, and the end of the attempt in the database. Inside of
//! it apalis's layers catch panics and bound the time.

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
use crate::fleet::backend::Ticket;

/// An end that could not be written is tried again so often; then the lease runs out.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);
/// Jobs finished by one statement.
const FINISHED_TOGETHER: usize = 500;

/// Writes how attempts ended.
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
    told: oneshot::Sender<()>,
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
                let (told, hears) = oneshot::channel();
                let finished = Finished { job: job.id, attempt: job.attempt, told };
                if self.finished.send(finished).await.is_ok() {
                    drop(hears.await);
                }
                outcome::DONE
            }
            Err(error) => match failure(error.as_ref()) {
                None => outcome::LEASE_LOST,
                Some(failure) => self.fail(job, &failure).await,
            },
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
    let what = if error.is::<tower::timeout::error::Elapsed>() {
        "the handler took too long".to_owned()
    } else {
        format!("the handler failed: {error}") // A panic, as apalis tells it.
    };
    Some(AttemptFailure { permanent: false, error: what })
}

/// Finishes what has gathered while the last ones were finished. No timer: an idle worker finishes at once.
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
            _ = one.told.send(()); // Whoever does not wait any more needs no answer.
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

impl<S> Service<Task<Ticket>> for Settle<S>
where
    S: Service<Task<Ticket>, Response = Done>,
    S::Error: Into<BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<(), BoxDynError>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    /// Never fails: for apalis every attempt has ended well, and how it really ended is in the database.
    fn call(&mut self, mut task: Task<Ticket>) -> Self::Future {
        let span = job_span(&task.args.job);
        // What follows from this job continues its span, as this one continues that of its cause.
        let cause = task.args.job.origin.trace_parent.as_deref().and_then(|cause| cause.parse().ok());
        task.args.job.origin.trace_parent = Some(trace::join(&span, cause).to_string());
        let Ticket { job, slot } = task.args.clone();
        let settler = self.settler.clone();
        let handling = self.inner.call(task);
        let settled = async move {
            let started = Instant::now();
            settler.metrics.claimed(&job);
            let result = handling.await.map_err(Into::into);
            let elapsed = started.elapsed();
            let outcome = settler.settle(&job, result).await;
            settler.metrics.ended(&job, outcome, elapsed);
            log(&job, outcome, elapsed);
            drop(slot);
            Ok(())
        };
        Box::pin(settled.instrument(span))
    }
}

/// A span of the highest level, so that the lines inside it name their job whatever level is logged.
fn job_span(job: &LeasedJob) -> Span {
    error_span!(
        "job", otel.name = job.kind, otel.kind = "consumer", otel.status_code = field::Empty, job_id = %job.id,
        kind = job.kind, attempt = job.attempt, queue = job.queue.name(), request_id = job.origin.request_id,
        trace_id = field::Empty, order_id = job.order_id.map(field::display), outcome = field::Empty,
        error = field::Empty, run_at = field::Empty,
    )
}

/// The one line of an attempt. What waits for a person is an error; what is tried again is a warning.
fn log(job: &LeasedJob, ended: &'static str, elapsed: Duration) {
    let LeasedJob { kind, attempt, .. } = job;
    let duration_ms = elapsed.as_secs_f64() * 1000.0;
    Span::current().record("outcome", ended);
    if ended != outcome::DONE {
        Span::current().record("otel.status_code", "error");
    }
    match ended {
        outcome::DONE => tracing::info!(duration_ms, "{kind} {ended}"),
        outcome::DEAD => tracing::error!(duration_ms, "{kind} is dead after attempt {attempt} and waits for a person"),
        _ => tracing::warn!(duration_ms, "{kind} {ended} in attempt {attempt}"),
    }
}
