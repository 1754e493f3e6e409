//! Takes jobs for the free places of this worker: hears of them by the doorbell, or asks Postgres while that
//! is out of order, and claims them.
//!
//! Priority is strict with a floor: high before default before low, but now and then another queue comes
//! first, and neither high nor low may fill the worker.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shared::queue::claim::{self, Claimer};
use shared::queue::doorbell::{Doorbell, Listener};
use shared::queue::{Lease, LeasedJob, Queue, Ring, settle};
use shared::values::JobId;
use sqlx::PgPool;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::fleet::backend::Ticket;
use crate::fleet::transport::apalis_redis::{Hearing, News};

/// One take in so many looks at the default queue first, and one at the low one.
const FLOOR: u64 = 16;
/// Without the doorbell: how soon Postgres is asked again when it had nothing.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How soon a doorbell that is out of order is tried again.
const MEND: Duration = Duration::from_secs(1);
/// While some queue is left out because it has its share, the others are not listened to for long.
const LISTEN_BRIEFLY: Duration = Duration::from_millis(20);
const LISTEN: Duration = Duration::from_secs(1);

/// The places of this worker, and who has them.
#[derive(Debug)]
pub struct Slots {
    free: Arc<Semaphore>,
    size: usize,
    taken: [AtomicUsize; 3],
    running: Mutex<HashMap<JobId, (i32, Arc<Lease>)>>,
    paused: Mutex<HashSet<Queue>>,
    emptied: Notify,
}

/// A place that a job has until this is dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    queue: Queue,
    job: JobId,
    attempt: i32,
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    pub fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(size)),
            size,
            taken: [const { AtomicUsize::new(0) }; 3],
            running: Mutex::default(),
            paused: Mutex::default(),
            emptied: Notify::new(),
        })
    }

    /// How many jobs of a queue this worker runs at most: long ones of one priority must not fill it.
    fn share(&self, queue: Queue) -> usize {
        match queue {
            Queue::High => (self.size * 3 / 4).max(1),
            Queue::Default => self.size,
            Queue::Low => (self.size / 4).max(1),
        }
    }

    fn left(&self, queue: Queue) -> usize {
        self.share(queue).saturating_sub(self.taken[queue as usize].load(Ordering::Relaxed))
    }

    pub fn running(&self) -> HashMap<JobId, (i32, Arc<Lease>)> {
        self.running.lock().expect("nothing panics while it holds this").clone()
    }

    pub fn pause(&self, queues: Vec<Queue>) {
        *self.paused.lock().expect("nothing panics while it holds this") = queues.into_iter().collect();
    }

    fn is_paused(&self, queue: Queue) -> bool {
        self.paused.lock().expect("nothing panics while it holds this").contains(&queue)
    }

    /// Waits until no job runs any more.
    pub async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.running.lock().expect("nothing panics while it holds this").is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn occupy(self: &Arc<Self>, job: &LeasedJob, permit: OwnedSemaphorePermit) -> Arc<Slot> {
        self.taken[job.queue as usize].fetch_add(1, Ordering::Relaxed);
        let mut running = self.running.lock().expect("nothing panics while it holds this");
        running.insert(job.id, (job.attempt, job.lease.clone()));
        Arc::new(Slot { slots: self.clone(), queue: job.queue, job: job.id, attempt: job.attempt, _permit: permit })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.taken[self.queue as usize].fetch_sub(1, Ordering::Relaxed);
        let mut running = self.slots.running.lock().expect("nothing panics while it holds this");
        // A job that came back to this process after its lease was lost has another attempt by now.
        if running.get(&self.job).is_some_and(|(attempt, _)| *attempt == self.attempt) {
            running.remove(&self.job);
        }
        if running.is_empty() {
            self.slots.emptied.notify_waiters();
        }
    }
}

pub struct Taker {
    pub db: PgPool,
    pub claimer: Claimer,
    pub queues: Vec<Queue>,
    pub doorbell: Doorbell,
    pub slots: Arc<Slots>,
    pub tickets: mpsc::Sender<Ticket>,
    pub takes: AtomicU64,
}

impl Taker {
    /// Takes until it is told to stop; what it holds then and nobody has begun goes back.
    pub async fn run(self, mut ear: Ear, stopping: CancellationToken) {
        loop {
            let places = tokio::select! {
                places = self.places() => places,
                () = stopping.cancelled() => return,
            };
            // Once begun a take is not interrupted: what it has claimed must be carried out or handed back.
            if stopping.is_cancelled() {
                return;
            }
            self.take(&mut ear, places, &stopping).await;
        }
    }

    /// Waits for a free place, and takes all that are free.
    async fn places(&self) -> Vec<OwnedSemaphorePermit> {
        let first = self.slots.free.clone().acquire_owned().await.expect("the places are never closed");
        let mut places = vec![first];
        while let Ok(next) = self.slots.free.clone().try_acquire_owned() {
            places.push(next);
        }
        places
    }

    async fn take(&self, ear: &mut Ear, places: Vec<OwnedSemaphorePermit>, stopping: &CancellationToken) {
        let (queues, all) = self.open_queues();
        if queues.is_empty() {
            drop(places);
            tokio::time::sleep(LISTEN_BRIEFLY).await;
            return;
        }
        let patience = if all { LISTEN } else { LISTEN_BRIEFLY };
        let claimed = match ear.listen(&queues, places.len(), patience, stopping).await {
            Heard::Ids(queue, ids) => self.claim(queue, ids).await,
            Heard::Nothing => return,
            Heard::Deaf => self.ask(&queues, places.len()).await,
        };
        match claimed {
            Ok(jobs) if jobs.is_empty() && !ear.hears() => {
                drop(places);
                tokio::select! { () = tokio::time::sleep(ASK_AGAIN) => {}, () = stopping.cancelled() => {} }
            }
            Ok(jobs) => self.hand_over(jobs, places, stopping).await,
            Err(error) => {
                tracing::warn!(%error, "jobs could not be claimed: {error}");
                drop(places);
                tokio::time::sleep(ASK_AGAIN).await;
            }
        }
    }

    /// The queues to look at, first things first, and whether those are all that are not paused.
    fn open_queues(&self) -> (Vec<Queue>, bool) {
        let turn = self.takes.fetch_add(1, Ordering::Relaxed) % FLOOR;
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

    /// Claims what was heard of, no more than the queue's share; the rest is rung again.
    async fn claim(&self, queue: Queue, mut ids: Vec<JobId>) -> shared::error::Result<Vec<LeasedJob>> {
        let too_many = ids.split_off(self.slots.left(queue).min(ids.len()));
        let run_at = chrono::Utc::now();
        self.doorbell.ring(too_many.into_iter().map(|id| Ring::again(queue, id, run_at)));
        let mut conn = self.db.acquire().await?;
        claim::by_ids(&mut conn, &self.claimer, &ids).await
    }

    async fn ask(&self, queues: &[Queue], places: usize) -> shared::error::Result<Vec<LeasedJob>> {
        let limits: Vec<(Queue, i64)> =
            queues.iter().map(|queue| (*queue, self.slots.left(*queue).min(places) as i64)).collect();
        let mut conn = self.db.acquire().await?;
        claim::next(&mut conn, &self.claimer, &limits, places as i64).await
    }

    async fn hand_over(
        &self,
        jobs: Vec<LeasedJob>,
        mut places: Vec<OwnedSemaphorePermit>,
        stopping: &CancellationToken,
    ) {
        if stopping.is_cancelled() {
            let unbegun: Vec<_> = jobs.iter().map(|job| (job.id, job.attempt)).collect();
            return hand_back(&self.db, &self.doorbell, &unbegun).await;
        }
        for job in jobs {
            let place = places.pop().expect("no more is claimed than there are places");
            let slot = self.slots.occupy(&job, place);
            if self.tickets.send(Ticket { job, slot }).await.is_err() {
                tracing::error!("the fleet takes no jobs any more");
            }
        }
    }
}

/// Gives jobs back that this process will not carry out.
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
        // Their leases run out, and the sweep takes them back.
        Err(error) => tracing::warn!(%error, jobs = jobs.len(), "jobs could not be handed back: {error}"),
    }
}

/// By what a worker hears of jobs.
pub enum Ear {
    Doorbell(Bell),
    Stock(Hearing),
}

impl Ear {
    pub fn doorbell(doorbell: Doorbell) -> Self {
        Self::Doorbell(Bell { doorbell, listener: None, mended_at: None })
    }

    fn hears(&self) -> bool {
        match self {
            Self::Doorbell(bell) => bell.listener.is_some(),
            Self::Stock(hearing) => hearing.works(),
        }
    }

    async fn listen(
        &mut self,
        queues: &[Queue],
        count: usize,
        patience: Duration,
        stopping: &CancellationToken,
    ) -> Heard {
        let heard = async {
            match self {
                Self::Doorbell(bell) => bell.listen(queues, count, patience).await,
                Self::Stock(hearing) => match hearing.take(queues, count, patience).await {
                    News::Ids(queue, ids) => Heard::Ids(queue, ids),
                    News::Nothing => Heard::Nothing,
                    News::Silence => Heard::Deaf,
                },
            }
        };
        // What an interrupted listener has taken is lost to the transport, and is told again.
        tokio::select! { heard = heard => heard, () = stopping.cancelled() => Heard::Nothing }
    }
}

/// Listens to the doorbell while it works.
pub struct Bell {
    doorbell: Doorbell,
    listener: Option<Listener>,
    mended_at: Option<Instant>,
}

enum Heard {
    Ids(Queue, Vec<JobId>),
    Nothing,
    /// No Redis, or none that answers: Postgres is to be asked.
    Deaf,
}

impl Bell {
    async fn listen(&mut self, queues: &[Queue], count: usize, patience: Duration) -> Heard {
        self.mend().await;
        let Some(listener) = &mut self.listener else { return Heard::Deaf };
        match listener.take(queues, count, patience).await {
            Ok(Some((queue, ids))) => Heard::Ids(queue, ids),
            Ok(None) => Heard::Nothing,
            Err(error) => {
                tracing::warn!(%error, "the doorbell is out of order, asking Postgres instead: {error}");
                self.listener = None;
                self.mended_at = Some(Instant::now());
                Heard::Deaf
            }
        }
    }

    async fn mend(&mut self) {
        let too_soon = self.mended_at.is_some_and(|at| at.elapsed() < MEND);
        if self.listener.is_some() || too_soon || !self.doorbell.is_configured() {
            return;
        }
        match self.doorbell.listener().await {
            Ok(listener) => {
                if self.mended_at.take().is_some() {
                    tracing::info!("the doorbell works again");
                }
                self.listener = listener;
            }
            Err(error) => {
                tracing::debug!(%error, "the doorbell is still out of order: {error}");
                self.mended_at = Some(Instant::now());
            }
        }
    }
}
