//! Sends what is due of one shard of an endpoint, until nothing is due. It takes many deliveries at once, sends up to eight at
//! a time, each of another subject, and records many together: a subject that hangs holds up only itself. A failure is recorded
//! at once, and what was taken and not sent is left for the next look, because the endpoint may be failing.

use std::collections::VecDeque;
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
/// Deliveries that are taken at once.
const TAKES: usize = 64;
/// One that could not be sent for so long is left for the next look: its endpoint may have changed.
const STALE_AFTER: Duration = Duration::from_secs(1);
/// Attempts are recorded when there are so many, or when the first of them ended so long ago. If the process dies, those that
/// are not recorded are made again.
const RECORDS: usize = 32;
const RECORD_AFTER: Duration = Duration::from_millis(20);
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
    let shard = Shard {
        job,
        leased,
        ctx,
        key,
        taken: VecDeque::new(),
        out: FuturesUnordered::new(),
        ended: Vec::new(),
        busy: Vec::new(),
        since: Instant::now(),
        in_vain: 0,
    };
    shard.run().await
}

/// A delivery that waits for its turn, and when that is.
struct Waiting {
    to: Recipient,
    delivery: DueDelivery,
    at: Instant,
}

struct EndedAttempt {
    made: MadeAttempt,
    at: Instant,
}

struct Shard {
    job: DeliverWebhooks,
    leased: LeasedJob,
    ctx: Context,
    key: MasterKey,
    taken: VecDeque<Waiting>,
    /// The attempts that are out. Err: it was not made.
    out: FuturesUnordered<BoxFuture<'static, Result<MadeAttempt, Uuid>>>,
    /// Not recorded yet.
    ended: Vec<EndedAttempt>,
    /// The subjects of all of these.
    busy: Vec<Uuid>,
    since: Instant,
    /// So many times in a row something was due and could not be sent: another shard has the next probe.
    in_vain: u32,
}

impl Shard {
    async fn run(mut self) -> JobResult {
        loop {
            let must_end = self.ctx.stopping.is_cancelled() || self.since.elapsed() > LONGEST;
            if must_end || self.taken.front().is_some_and(|first| first.at.elapsed() > STALE_AFTER) {
                self.put_back();
            }
            if !must_end && self.taken.is_empty() && self.out.len() < SENDS {
                self.take().await?;
            }
            self.send();
            if self.out.is_empty() && self.ended.is_empty() {
                match self.finish(must_end).await? {
                    Some(wait) => self.pause(wait).await,
                    None => return Ok(Done::Recorded),
                }
                continue;
            }
            self.collect().await;
            if self.should_record() {
                self.record().await?;
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

    /// Takes what may be sent now. In the database it stays as it is until it is recorded.
    async fn take(&mut self) -> Result<(), JobError> {
        self.may_call()?;
        let hold = self.ctx.deliverer.timeout + LOST_AFTER;
        let mut tx = self.ctx.db.begin().await?;
        let taken = pump::take(&mut tx, self.job, &self.busy, TAKES, hold).await?;
        tx.commit().await?;
        let Some((to, due)) = taken else { return Ok(()) };
        if !due.is_empty() {
            self.in_vain = 0;
        }
        let now = Instant::now();
        for delivery in due {
            self.busy.push(delivery.subject);
            self.taken.push_back(Waiting { to: to.clone(), at: now + delivery.wait, delivery });
        }
        Ok(())
    }

    /// Leaves what was not sent yet for the next look.
    fn put_back(&mut self) {
        for waiting in std::mem::take(&mut self.taken) {
            self.free(waiting.delivery.subject);
        }
    }

    fn free(&mut self, subject: Uuid) {
        self.busy.retain(|busy| *busy != subject);
    }

    /// Nothing is sent any more once the lease may have expired: another worker may have the shard.
    fn may_call(&self) -> Result<(), JobError> {
        if self.leased.lease.allows_calls() {
            return Ok(());
        }
        Err(JobError::Transient("the lease could not be renewed, so nothing was sent".to_owned()))
    }

    fn send(&mut self) {
        while self.out.len() < SENDS
            && let Some(next) = self.taken.pop_front()
        {
            self.out.push(self.attempt(next));
        }
    }

    fn attempt(&self, next: Waiting) -> BoxFuture<'static, Result<MadeAttempt, Uuid>> {
        let (deliverer, key, endpoint) = (self.ctx.deliverer.clone(), self.key.clone(), self.job.endpoint_id);
        let lease = self.leased.lease.clone();
        async move {
            if next.at > Instant::now() {
                tokio::time::sleep_until(next.at.into()).await;
            }
            if !lease.allows_calls() {
                return Err(next.delivery.subject);
            }
            Ok(deliverer.deliver(&key, endpoint, &next.to, next.delivery).await)
        }
        .boxed()
    }

    /// Waits for an attempt to end, and takes with it those that have ended too.
    async fn collect(&mut self) {
        let unrecorded = self.ended.first().map(|first| RECORD_AFTER.saturating_sub(first.at.elapsed()));
        let mut next = tokio::time::timeout(unrecorded.unwrap_or(LOOK), self.out.next()).await.ok().flatten();
        while let Some(one) = next {
            match one {
                Ok(made) => {
                    if made.error.is_some() {
                        self.put_back();
                    }
                    self.ended.push(EndedAttempt { made, at: Instant::now() });
                }
                Err(subject) => self.free(subject),
            }
            next = self.out.next().now_or_never().flatten();
        }
    }

    fn should_record(&self) -> bool {
        let is_idle = self.out.is_empty() && self.taken.is_empty();
        let failed = self.ended.iter().any(|ended| ended.made.error.is_some());
        let waited = self.ended.first().is_some_and(|first| first.at.elapsed() >= RECORD_AFTER);
        !self.ended.is_empty() && (is_idle || failed || waited || self.ended.len() >= RECORDS)
    }

    async fn record(&mut self) -> Result<(), JobError> {
        let made: Vec<MadeAttempt> = std::mem::take(&mut self.ended).into_iter().map(|ended| ended.made).collect();
        let mut tx = self.ctx.db.begin().await?;
        let rings = outcome::record(&mut tx, &self.leased, self.job, &made, self.ctx.deliverer.times).await?;
        tx.commit().await?;
        self.ctx.doorbell.ring(rings);
        for made in made {
            self.free(made.delivery.subject);
        }
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
