//! Records the results of handlers in batches. While one transaction commits, further results gather, and the next
//! transaction records them together. An idle worker so records a single order at once, and a busy worker locks the row of
//! a hot product once for many orders.

use shared::error::Result;
use shared::orders::deliver::{self, Arrived};
use shared::orders::ship::{self, Booked, Recorded};
use shared::queue::doorbell::Doorbell;
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Done, JobError, JobResult};

/// The largest batch. In a larger one, the first order would wait too long for the last.
const MAX_BATCH: usize = 128;

/// Results that may wait. Each handler waits for its own, so there are never more than jobs that run.
const WAITING: usize = 1024;

/// Sends results to the batcher. Cloning it clones a handle.
#[derive(Clone)]
pub struct Recorder {
    waiting: mpsc::Sender<Waiting>,
}

/// The result of a handler, to be recorded together with the end of its job.
#[derive(Debug, Clone)]
pub enum Recording {
    Booked(Booked),
    Arrived(Arrived),
}

struct Waiting {
    recording: Recording,
    answer: oneshot::Sender<JobResult>,
}

impl Recorder {
    /// Starts the task that records. It ends when the recorder and its clones are dropped.
    pub fn start(db: PgPool, doorbell: Doorbell) -> Self {
        let (sender, waiting) = mpsc::channel(WAITING);
        tokio::spawn(RecordBatcher { db, doorbell }.run(waiting));
        Self { waiting: sender }
    }

    /// Records a result together with others, and waits until it is committed.
    pub async fn record(&self, recording: Recording) -> JobResult {
        let gone = || JobError::Transient("the task that records results has stopped".to_owned());
        let (answer, answered) = oneshot::channel();
        self.waiting.send(Waiting { recording, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

struct RecordBatcher {
    db: PgPool,
    doorbell: Doorbell,
}

/// A result, and where its handler waits.
type Entry<T> = (T, oneshot::Sender<JobResult>);

/// A kind of result that is recorded in batches of its own.
trait Batched: Sized + Send + Sync {
    /// Records a batch in one transaction. Returns the outcome of each, in the same order.
    fn record(batcher: &RecordBatcher, batch: &[Self]) -> impl Future<Output = Result<Vec<JobResult>>> + Send;
}

impl Batched for Booked {
    async fn record(batcher: &RecordBatcher, batch: &[Self]) -> Result<Vec<JobResult>> {
        let mut tx = batcher.db.begin().await?;
        let Recorded { finished, rings } = ship::record(&mut tx, batch).await?;
        tx.commit().await?;
        batcher.doorbell.ring(rings);
        Ok(batch.iter().map(|one| outcome(finished.contains(&one.job.id))).collect())
    }
}

impl Batched for Arrived {
    async fn record(batcher: &RecordBatcher, batch: &[Self]) -> Result<Vec<JobResult>> {
        let mut tx = batcher.db.begin().await?;
        let finished = deliver::record(&mut tx, batch).await?;
        tx.commit().await?;
        Ok(batch.iter().map(|one| outcome(finished.contains(&one.job.id))).collect())
    }
}

fn outcome(finished: bool) -> JobResult {
    if finished { Ok(Done::Recorded) } else { Err(JobError::LeaseLost) }
}

impl RecordBatcher {
    async fn run(self, mut waiting: mpsc::Receiver<Waiting>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
            let (mut booked, mut arrived) = (Vec::new(), Vec::new());
            for Waiting { recording, answer } in batch.drain(..) {
                match recording {
                    Recording::Booked(one) => booked.push((one, answer)),
                    Recording::Arrived(one) => arrived.push((one, answer)),
                }
            }
            self.record_and_answer(booked).await;
            self.record_and_answer(arrived).await;
        }
    }

    /// Records a batch and answers every handler.
    async fn record_and_answer<T: Batched>(&self, entries: Vec<Entry<T>>) {
        if entries.is_empty() {
            return;
        }
        let (batch, answers): (Vec<T>, Vec<_>) = entries.into_iter().unzip();
        let results = self.record(&batch).await;
        for (answer, result) in answers.into_iter().zip(results) {
            // A handler that was stopped or timed out does not wait any more. The row of its job has the outcome.
            drop(answer.send(result));
        }
    }

    /// Records a batch. If the data of one order may be wrong, it records them one by one.
    async fn record<T: Batched>(&self, batch: &[T]) -> Vec<JobResult> {
        let error = match T::record(self, batch).await {
            Ok(results) => return results,
            Err(error) => error,
        };
        if batch.len() == 1 || !error.is_about_data() {
            let cause = JobError::from(error).to_string();
            return batch.iter().map(|_| Err(JobError::Transient(cause.clone()))).collect();
        }
        tracing::warn!(jobs = batch.len(), %error, "a batch could not be recorded, so it is tried one by one: {error}");
        let mut results = Vec::with_capacity(batch.len());
        for one in batch {
            match T::record(self, std::slice::from_ref(one)).await {
                Ok(result) => results.extend(result),
                Err(error) => results.push(Err(error.into())),
            }
        }
        results
    }
}
