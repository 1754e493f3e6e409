//! Recordings that have gathered while the last transaction committed go into the next one together: an idle
//! worker records a single order at once, and a busy one locks the row of a hot product once for many.

use futures::FutureExt;
use futures::future::BoxFuture;
use shared::error::Result;
use shared::orders::deliver::{self, Arrived};
use shared::orders::ship::{self, Booked, Recorded};
use shared::queue::doorbell::Doorbell;
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Done, JobError, JobResult};

/// More orders in one transaction would make the first of them wait for the last.
const MAX_BATCH: usize = 128;

/// Handlers wait for their recording, so no more than a worker's jobs ever stand here.
const WAITING: usize = 1024;

/// The way in. Cloning it clones a handle.
#[derive(Clone)]
pub struct Recorder {
    waiting: mpsc::Sender<Waiting>,
}

/// What an attempt has brought about, and that is to be kept with the end of its job.
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
    /// Starts the task that records. It ends when this and its clones are dropped.
    pub fn start(db: PgPool, doorbell: Doorbell) -> Self {
        let (sender, waiting) = mpsc::channel(WAITING);
        tokio::spawn(RecordBatcher { db, doorbell }.run(waiting));
        Self { waiting: sender }
    }

    /// Records together with others, and waits for what came of it.
    pub async fn record(&self, recording: Recording) -> JobResult {
        let gone = || JobError::Transient("whoever records has stopped".to_owned());
        let (answer, answered) = oneshot::channel();
        self.waiting.send(Waiting { recording, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// One thing that is recorded together with others of its kind.
type Entry<T> = (T, oneshot::Sender<JobResult>);

/// Records a batch in one transaction and tells what came of each.
type Record<T> = for<'a> fn(&'a RecordBatcher, &'a [T]) -> BoxFuture<'a, Result<Vec<JobResult>>>;

struct RecordBatcher {
    db: PgPool,
    doorbell: Doorbell,
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
            self.settle(booked, Self::ship).await;
            self.settle(arrived, Self::deliver).await;
        }
    }

    /// Records a batch, one by one if the data of some order were wrong, and answers everybody.
    async fn settle<T>(&self, entries: Vec<Entry<T>>, record: Record<T>) {
        if entries.is_empty() {
            return;
        }
        let (batch, answers): (Vec<T>, Vec<_>) = entries.into_iter().unzip();
        let results = match record(self, &batch).await {
            Ok(results) => results,
            Err(error) if batch.len() > 1 && error.is_about_data() => {
                tracing::warn!(jobs = batch.len(), %error, "a batch could not be recorded, so it is tried one by one: {error}");
                let mut results = Vec::with_capacity(batch.len());
                for one in &batch {
                    match record(self, std::slice::from_ref(one)).await {
                        Ok(result) => results.extend(result),
                        Err(error) => results.push(Err(error.into())),
                    }
                }
                results
            }
            Err(error) => {
                let cause = JobError::from(error).to_string();
                batch.iter().map(|_| Err(JobError::Transient(cause.clone()))).collect()
            }
        };
        for (answer, result) in answers.into_iter().zip(results) {
            // Whoever has gone meanwhile was timed out or stopped; the job's row tells what came of it.
            drop(answer.send(result));
        }
    }

    fn ship<'a>(&'a self, batch: &'a [Booked]) -> BoxFuture<'a, Result<Vec<JobResult>>> {
        async {
            let mut tx = self.db.begin().await?;
            let Recorded { finished, rings } = ship::record(&mut tx, batch).await?;
            tx.commit().await?;
            self.doorbell.ring(rings);
            Ok(batch.iter().map(|one| outcome(finished.contains(&one.job.id))).collect())
        }
        .boxed()
    }

    fn deliver<'a>(&'a self, batch: &'a [Arrived]) -> BoxFuture<'a, Result<Vec<JobResult>>> {
        async {
            let mut tx = self.db.begin().await?;
            let finished = deliver::record(&mut tx, batch).await?;
            tx.commit().await?;
            Ok(batch.iter().map(|one| outcome(finished.contains(&one.job.id))).collect())
        }
        .boxed()
    }
}

fn outcome(finished: bool) -> JobResult {
    if finished { Ok(Done::Recorded) } else { Err(JobError::LeaseLost) }
}
