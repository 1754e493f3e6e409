//! Sends what is due of one shard of an endpoint, until nothing is due. It sends up to eight events at a time, each of another
//! subject, and records each as it ends: a subject that hangs holds up only itself.

use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use shared::queue::LeasedJob;
use shared::webhooks::jobs::DeliverWebhooks;
use shared::webhooks::outcome::{self, MadeAttempt};
use shared::webhooks::pump::{self, DueDelivery, Finished, Recipient};
use shared::webhooks::secret::MasterKey;
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Done, JobError, JobResult};

/// Attempts of one shard at the same time.
const SENDS: usize = 8;
/// How often we look for more while attempts are out.
const LOOK: Duration = Duration::from_millis(250);
/// Between two looks, if something is due at once.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// After this the job takes nothing new, and another one follows. So no job runs for ever.
const LONGEST: Duration = Duration::from_mins(10);
/// The time limit of the job: attempts end by themselves before.
pub const TIME_LIMIT: Duration = Duration::from_mins(15);
/// A probe that has not ended after its time limit and this was lost with its process.
const LOST_AFTER: Duration = Duration::from_secs(10);

pub async fn run(job: DeliverWebhooks, leased: LeasedJob, ctx: Context) -> JobResult {
    let Some(key) = ctx.deliverer.key.clone() else {
        return Err(JobError::Transient(
            "WEBHOOK_MASTER_KEY is not set, so this worker cannot sign webhooks".to_owned(),
        ));
    };
    Shard { job, leased, ctx, key, out: FuturesUnordered::new(), busy: Vec::new(), since: Instant::now(), in_vain: 0 }
        .run()
        .await
}

struct Shard {
    job: DeliverWebhooks,
    leased: LeasedJob,
    ctx: Context,
    key: MasterKey,
    /// The attempts that are out, and their subjects.
    out: FuturesUnordered<BoxFuture<'static, Result<MadeAttempt, Uuid>>>,
    busy: Vec<Uuid>,
    since: Instant,
    /// So many times in a row something was due and could not be sent: another shard has the next probe.
    in_vain: u32,
}

impl Shard {
    async fn run(mut self) -> JobResult {
        loop {
            let must_end = self.ctx.stopping.is_cancelled() || self.since.elapsed() > LONGEST;
            if !must_end && self.out.len() < SENDS {
                self.send_more().await?;
            }
            if self.out.is_empty() {
                match self.finish(must_end).await? {
                    Some(wait) => self.pause(wait).await,
                    None => return Ok(Done::Recorded),
                }
            } else {
                self.record_some().await?;
            }
        }
    }

    /// Longer each time, where something is due and cannot be sent.
    async fn pause(&mut self, wait: Duration) {
        let longer = SHORTEST_PAUSE * 2_u32.pow(self.in_vain.min(5));
        self.in_vain += 1;
        tokio::select! {
            () = tokio::time::sleep(wait.max(longer)) => {}
            () = self.ctx.stopping.cancelled() => {}
        }
    }

    async fn send_more(&mut self) -> Result<(), JobError> {
        self.may_call()?;
        let hold = self.ctx.deliverer.timeout + LOST_AFTER;
        let mut tx = self.ctx.db.begin().await?;
        let taken = pump::take(&mut tx, self.job, &self.busy, SENDS - self.out.len(), hold).await?;
        tx.commit().await?;
        let Some((recipient, due)) = taken else { return Ok(()) };
        if !due.is_empty() {
            self.in_vain = 0;
        }
        for delivery in due {
            self.busy.push(delivery.subject);
            self.out.push(self.attempt(recipient.clone(), delivery));
        }
        Ok(())
    }

    /// Nothing is sent any more once the lease may have expired: another worker may have the shard.
    fn may_call(&self) -> Result<(), JobError> {
        if self.leased.lease.allows_calls() {
            return Ok(());
        }
        Err(JobError::Transient("the lease could not be renewed, so nothing was sent".to_owned()))
    }

    fn attempt(&self, to: Recipient, due: DueDelivery) -> BoxFuture<'static, Result<MadeAttempt, Uuid>> {
        let (deliverer, key, endpoint) = (self.ctx.deliverer.clone(), self.key.clone(), self.job.endpoint_id);
        let lease = self.leased.lease.clone();
        async move {
            if !due.wait.is_zero() {
                tokio::time::sleep(due.wait).await;
            }
            if !lease.allows_calls() {
                return Err(due.subject);
            }
            Ok(deliverer.deliver(&key, endpoint, &to, due).await)
        }
        .boxed()
    }

    /// Waits for an attempt to end, and records it with those that have ended too.
    async fn record_some(&mut self) -> Result<(), JobError> {
        let Ok(Some(first)) = tokio::time::timeout(LOOK, self.out.next()).await else { return Ok(()) };
        let mut ended = vec![first];
        while let Some(Some(next)) = self.out.next().now_or_never() {
            ended.push(next);
        }
        let mut made = Vec::with_capacity(ended.len());
        for one in ended {
            let subject = match one {
                Ok(attempt) => {
                    let subject = attempt.delivery.subject;
                    made.push(attempt);
                    subject
                }
                Err(subject) => subject,
            };
            self.busy.retain(|busy| *busy != subject);
        }
        if made.is_empty() {
            return Ok(());
        }
        let mut tx = self.ctx.db.begin().await?;
        let rings = outcome::record(&mut tx, &self.leased, self.job, &made, self.ctx.deliverer.times).await?;
        tx.commit().await?;
        self.ctx.doorbell.ring(rings);
        Ok(())
    }

    /// How long to wait before looking again. None: the job has ended.
    async fn finish(&mut self, must_end: bool) -> Result<Option<Duration>, JobError> {
        let mut tx = self.ctx.db.begin().await?;
        match pump::finish(&mut tx, &self.leased, self.job, must_end).await? {
            Finished::Soon(wait) => {
                tx.rollback().await?;
                Ok(Some(wait))
            }
            Finished::Ended(ring) => {
                tx.commit().await?;
                self.ctx.doorbell.ring(ring);
                Ok(None)
            }
        }
    }
}
