//! Fetches jobs for this worker, and some ahead (`slots`): learns from the transport which jobs are ready, and claims them.
//! If the transport does not work, it asks Postgres.
//!
//! Priority is strict, with a floor: high before default before low. But some turns look at another queue first, and
//! neither high nor low may fill the worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shared::queue::claim::{self, Claimer};
use shared::queue::doorbell::Doorbell;
use shared::queue::{LeasedJob, Queue, Ring, settle};
use shared::values::JobId;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::fleet::interval::every;
use crate::fleet::slots::Slots;
use crate::fleet::transport::Subscription;
use crate::fleet::transport::received::Received;

/// Of so many turns, one looks at the default queue first, and one at the low queue.
const FLOOR: u64 = 16;
/// How soon Postgres is asked again, when it had no job and the transport does not work.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How long a turn waits for a job.
const WAIT: Duration = Duration::from_secs(1);
/// The same while a queue is left out because its share is used up: soon it may be looked at again.
const WAIT_BRIEFLY: Duration = Duration::from_millis(20);

pub struct Fetcher {
    pub db: PgPool,
    pub claimer: Claimer,
    pub queues: Vec<Queue>,
    pub doorbell: Doorbell,
    pub slots: Arc<Slots>,
    pub turns: AtomicU64,
}

impl Fetcher {
    /// Fetches jobs until the worker stops.
    pub async fn run(self, mut subscription: Subscription, stopping: CancellationToken) {
        loop {
            let room = tokio::select! {
                room = self.slots.room() => room,
                () = stopping.cancelled() => return,
            };
            // A turn is never interrupted: it must carry out or hand back what it has claimed.
            if stopping.is_cancelled() {
                return;
            }
            self.turn(&mut subscription, room, &stopping).await;
        }
    }

    async fn turn(&self, subscription: &mut Subscription, room: usize, stopping: &CancellationToken) {
        let (queues, all) = self.open_queues();
        if queues.is_empty() {
            tokio::time::sleep(WAIT_BRIEFLY).await;
            return;
        }
        let patience = if all { WAIT } else { WAIT_BRIEFLY };
        let claimed = match subscription.receive(&queues, room, patience, stopping).await {
            Received::Ids(queue, ids) => self.claim(queue, ids).await,
            Received::Nothing => return,
            Received::Unavailable => self.ask_postgres(&queues, room).await,
        };
        match claimed {
            Ok(jobs) if jobs.is_empty() && !subscription.works() => {
                tokio::select! { () = tokio::time::sleep(ASK_AGAIN) => {}, () = stopping.cancelled() => {} }
            }
            Ok(jobs) => self.hand_over(jobs, stopping).await,
            Err(error) => {
                tracing::warn!(%error, "jobs could not be claimed: {error}");
                tokio::time::sleep(ASK_AGAIN).await;
            }
        }
    }

    /// The queues to look at in this turn, in order. True: these are all queues that are not paused.
    fn open_queues(&self) -> (Vec<Queue>, bool) {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed) % FLOOR;
        let mut queues: Vec<Queue> =
            self.queues.iter().copied().filter(|queue| !self.slots.is_paused(*queue)).collect();
        let open = queues.len();
        queues.retain(|queue| self.slots.left(*queue) > 0);
        let first = match turn {
            7 => Some(Queue::Default),
            15 => Some(Queue::Low),
            _ => None,
        };
        queues.sort_by_key(|queue| (Some(*queue) != first, *queue));
        let all = queues.len() == open;
        (queues, all)
    }

    /// Claims these jobs, but no more than the share of the queue. It rings again for the rest.
    async fn claim(&self, queue: Queue, mut ids: Vec<JobId>) -> shared::error::Result<Vec<LeasedJob>> {
        let too_many = ids.split_off(self.slots.left(queue).min(ids.len()));
        let run_at = chrono::Utc::now();
        self.doorbell.ring(too_many.into_iter().map(|id| Ring::again(queue, id, run_at)));
        let mut conn = self.db.acquire().await?;
        claim::by_ids(&mut conn, &self.claimer, &ids).await
    }

    async fn ask_postgres(&self, queues: &[Queue], free: usize) -> shared::error::Result<Vec<LeasedJob>> {
        let limits: Vec<(Queue, i64)> =
            queues.iter().map(|queue| (*queue, self.slots.left(*queue).min(free) as i64)).collect();
        let mut conn = self.db.acquire().await?;
        claim::next(&mut conn, &self.claimer, &limits, free as i64).await
    }

    async fn hand_over(&self, jobs: Vec<LeasedJob>, stopping: &CancellationToken) {
        if stopping.is_cancelled() {
            let unbegun: Vec<_> = jobs.iter().map(|job| (job.id, job.attempt)).collect();
            return hand_back(&self.db, &self.doorbell, &unbegun).await;
        }
        hand_back(&self.db, &self.doorbell, &self.slots.admit(jobs)).await;
    }
}

/// How often the jobs are looked at that were claimed ahead.
const LOOK: Duration = Duration::from_millis(100);

/// Hands jobs back that were claimed ahead and do not begin, because the worker has become slow. Others take them.
pub async fn keep_handing_back(db: PgPool, doorbell: Doorbell, slots: Arc<Slots>) {
    let mut every = every(LOOK);
    loop {
        every.tick().await;
        hand_back(&db, &doorbell, &slots.overdue(Instant::now())).await;
    }
}

/// Hands jobs back that this process will not carry out.
pub async fn hand_back(db: &PgPool, doorbell: &Doorbell, jobs: &[(JobId, i32)]) {
    if jobs.is_empty() {
        return;
    }
    let back = async {
        let mut conn = db.acquire().await?;
        settle::hand_back(&mut conn, jobs).await
    };
    match back.await {
        Ok(rings) => {
            tracing::info!(jobs = rings.len(), "handed {} jobs back", rings.len());
            doorbell.ring(rings);
        }
        // Their leases expire, and the maintenance reclaims them.
        Err(error) => tracing::warn!(%error, jobs = jobs.len(), "jobs could not be handed back: {error}"),
    }
}
