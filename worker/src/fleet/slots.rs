//! The slots of this worker: how many jobs it runs at the same time, of each queue and in total, and which.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shared::platform::locked::Locked;
use shared::queue::claim::Running;
use shared::queue::{LeasedJob, Queue};
use shared::values::JobId;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

#[derive(Debug)]
pub struct Slots {
    free: Arc<Semaphore>,
    size: usize,
    taken: [AtomicUsize; Queue::ALL.len()],
    running: Locked<Running>,
    paused: Locked<HashSet<Queue>>,
    emptied: Notify,
}

/// A claimed job and its slot. The slot is free again when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    pub job: LeasedJob,
    pub slot: Arc<Slot>,
}

/// A job has this slot until it is dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    queue: Queue,
    job: JobId,
    attempt: i32,
    _permit: OwnedSemaphorePermit,
}

/// The most jobs of a queue that run at the same time in a worker with so many slots. Long jobs of high or low priority
/// must not fill it.
pub fn share(queue: Queue, slots: usize) -> usize {
    match queue {
        Queue::High => (slots * 3 / 4).max(1),
        Queue::Default => slots,
        Queue::Low => (slots / 4).max(1),
    }
}

impl Slots {
    pub fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(size)),
            size,
            taken: Queue::ALL.map(|_| AtomicUsize::new(0)),
            running: Locked::default(),
            paused: Locked::default(),
            emptied: Notify::new(),
        })
    }

    /// How many more jobs of this queue may run now.
    pub fn left(&self, queue: Queue) -> usize {
        share(queue, self.size).saturating_sub(self.taken[queue as usize].load(Ordering::Relaxed))
    }

    /// Waits for a free slot, then takes all that are free.
    pub async fn free(&self) -> Vec<OwnedSemaphorePermit> {
        let first = self.free.clone().acquire_owned().await.expect("this semaphore is never closed");
        let mut permits = vec![first];
        while let Ok(next) = self.free.clone().try_acquire_owned() {
            permits.push(next);
        }
        permits
    }

    /// Gives a claimed job its slot.
    pub fn occupy(self: &Arc<Self>, job: LeasedJob, permit: OwnedSemaphorePermit) -> ClaimedJob {
        self.taken[job.queue as usize].fetch_add(1, Ordering::Relaxed);
        self.running.lock().insert(job.id, (job.attempt, job.lease.clone()));
        let slot = Slot { slots: self.clone(), queue: job.queue, job: job.id, attempt: job.attempt, _permit: permit };
        ClaimedJob { job, slot: Arc::new(slot) }
    }

    /// The jobs that run now, each with its attempt and its lease.
    pub fn running(&self) -> Running {
        self.running.lock().clone()
    }

    pub fn set_paused(&self, queues: Vec<Queue>) {
        *self.paused.lock() = queues.into_iter().collect();
    }

    pub fn is_paused(&self, queue: Queue) -> bool {
        self.paused.lock().contains(&queue)
    }

    /// Waits until no job runs any more.
    pub async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.running.lock().is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.taken[self.queue as usize].fetch_sub(1, Ordering::Relaxed);
        let mut running = self.slots.running.lock();
        // If this process lost the lease and claimed the job again, the entry belongs to the newer attempt.
        if running.get(&self.job).is_some_and(|(attempt, _)| *attempt == self.attempt) {
            running.remove(&self.job);
        }
        if running.is_empty() {
            self.slots.emptied.notify_waiters();
        }
    }
}
