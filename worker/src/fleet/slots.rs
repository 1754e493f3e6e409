//! The slots of this worker: how many jobs it runs at the same time, of each queue and in total, and which. And the jobs
//! that it has claimed ahead: they begin as soon as a slot is free, without a round trip in between.
//!
//! A worker claims ahead what it will have finished in a moment at its present pace. A worker of long jobs claims nothing
//! ahead. Jobs that wait here for too long all the same are handed back (`overdue`), so that other workers take them.
//!
//! A job whose result waits to be recorded needs no slot any more: it gives it to the next one. So results gather while the
//! database is busy, and are recorded together; otherwise there would never be more of them than slots.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;
use shared::platform::locked::Locked;
use shared::queue::claim::Running;
use shared::queue::{LeasedJob, Queue};
use shared::values::JobId;
use tokio::sync::Notify;

/// Jobs are claimed ahead for so long.
const MOMENT: Duration = Duration::from_millis(50);
/// Never more than this.
const MOST_AHEAD: usize = 500;
/// A job that was claimed ahead and has not begun after this is handed back: the worker has become slow.
const TOO_LONG: Duration = Duration::from_millis(500);
/// While so many jobs for each slot are under way, those without a slot too, no further job gives its slot up.
const UNDER_WAY: usize = 8;
/// Over so much time the pace is measured.
const PACE_OVER: Duration = Duration::from_millis(100);

const QUEUES: usize = Queue::ALL.len();

#[derive(Debug)]
pub struct Slots {
    size: usize,
    /// Claimed jobs of each queue, begun or not.
    claimed: [AtomicUsize; QUEUES],
    waiting: Locked<Waiting>,
    running: Locked<Running>,
    paused: Locked<HashSet<Queue>>,
    pace: Locked<Pace>,
    /// Wakes the task that begins jobs.
    may_begin: AtomicWaker,
    /// A claimed job has ended, so there is room for another one.
    ended: Notify,
    emptied: Notify,
}

/// The jobs that were claimed and have not begun, and how many have.
#[derive(Debug, Default)]
struct Waiting {
    jobs: [VecDeque<(Instant, ClaimedJob)>; QUEUES],
    begun: [usize; QUEUES],
    /// The worker stops: nothing begins any more.
    closed: bool,
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
    begun: AtomicBool,
    /// It does not count any more.
    aside: AtomicBool,
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
            size,
            claimed: Queue::ALL.map(|_| AtomicUsize::new(0)),
            waiting: Locked::default(),
            running: Locked::default(),
            paused: Locked::default(),
            pace: Locked::new(Pace::new(Instant::now())),
            may_begin: AtomicWaker::new(),
            ended: Notify::new(),
            emptied: Notify::new(),
        })
    }

    /// How many more jobs of this queue may be claimed now.
    pub fn left(&self, queue: Queue) -> usize {
        let most = share(queue, self.size + self.ahead());
        most.saturating_sub(self.claimed[queue as usize].load(Ordering::Relaxed))
    }

    /// Waits until at least one job may be claimed. Returns how many may.
    pub async fn room(&self) -> usize {
        loop {
            let ended = self.ended.notified();
            let claimed: usize = self.claimed.iter().map(|count| count.load(Ordering::Relaxed)).sum();
            let room = (self.size + self.ahead()).saturating_sub(claimed);
            if room > 0 {
                return room;
            }
            ended.await;
        }
    }

    /// How many jobs more than there are slots may be claimed now.
    fn ahead(&self) -> usize {
        self.pace.lock().within(MOMENT, Instant::now()).min(MOST_AHEAD)
    }

    /// How many jobs of this queue could begin at once. None once the worker stops.
    pub fn free(&self, queue: Queue) -> usize {
        if self.is_paused(queue) || self.waiting.lock().closed {
            return 0;
        }
        let claimed = |queue: Queue| self.claimed[queue as usize].load(Ordering::Relaxed);
        let all: usize = Queue::ALL.into_iter().map(claimed).sum();
        self.size.saturating_sub(all).min(share(queue, self.size).saturating_sub(claimed(queue)))
    }

    /// Takes jobs in that were just claimed. They begin in the order of their priority. Returns those that will not begin,
    /// because the worker stops: the caller hands them back.
    #[must_use = "hand them back"]
    pub fn admit(self: &Arc<Self>, jobs: Vec<LeasedJob>) -> Vec<(JobId, i32)> {
        let now = Instant::now();
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return jobs.iter().map(|job| (job.id, job.attempt)).collect();
        }
        for job in jobs {
            let queue = job.queue;
            self.claimed[queue as usize].fetch_add(1, Ordering::Relaxed);
            self.running.lock().insert(job.id, (job.attempt, job.lease.clone()));
            let (id, attempt) = (job.id, job.attempt);
            let slot = Slot { slots: self.clone(), queue, job: id, attempt, begun: false.into(), aside: false.into() };
            let claimed = ClaimedJob { job, slot: Arc::new(slot) };
            waiting.jobs[queue as usize].push_back((now, claimed));
        }
        drop(waiting);
        self.may_begin.wake();
        Vec::new()
    }

    /// The next job that may begin now. None does once the worker stops.
    pub fn poll_begin(&self, cx: &Context<'_>) -> Poll<ClaimedJob> {
        self.may_begin.register(cx.waker());
        let mut waiting = self.waiting.lock();
        let total: usize = waiting.begun.iter().sum();
        let may_begin = |queue: &Queue| {
            let (jobs, begun) = (&waiting.jobs[*queue as usize], waiting.begun[*queue as usize]);
            !jobs.is_empty() && begun < share(*queue, self.size)
        };
        let any = total < self.size && !waiting.closed;
        let next = Queue::ALL.into_iter().filter(|_| any).find(may_begin);
        let Some(queue) = next else { return Poll::Pending };
        let Some((_, claimed)) = waiting.jobs[queue as usize].pop_front() else { return Poll::Pending };
        waiting.begun[queue as usize] += 1;
        claimed.slot.begun.store(true, Ordering::Relaxed);
        Poll::Ready(claimed)
    }

    /// The worker stops: nothing begins any more. Returns the jobs that have not begun.
    pub fn close(&self) -> Vec<(JobId, i32)> {
        let rest = {
            let mut waiting = self.waiting.lock();
            waiting.closed = true;
            std::mem::take(&mut waiting.jobs)
        };
        rest.iter().flatten().map(|(_, claimed)| (claimed.job.id, claimed.job.attempt)).collect()
    }

    /// The jobs that wait here, if one of them has waited for too long. The caller hands them back.
    pub fn overdue(&self, now: Instant) -> Vec<(JobId, i32)> {
        let taken = {
            let mut waiting = self.waiting.lock();
            let oldest = waiting.jobs.iter().filter_map(|jobs| jobs.front()).map(|(since, _)| *since).min();
            if oldest.is_none_or(|since| now.saturating_duration_since(since) < TOO_LONG) {
                return Vec::new();
            }
            std::mem::take(&mut waiting.jobs)
        };
        taken.iter().flatten().map(|(_, claimed)| (claimed.job.id, claimed.job.attempt)).collect()
    }

    /// The claimed jobs, each with its attempt and its lease.
    pub fn running(&self) -> Running {
        self.running.lock().clone()
    }

    /// How many jobs have begun and not ended.
    pub fn begun(&self) -> usize {
        self.waiting.lock().begun.iter().sum()
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

impl Slot {
    /// Steps aside, because all that is left to do is to record the result. If very many jobs are under way already, it keeps
    /// the slot, so that no more are claimed than can be recorded.
    pub fn step_aside_to_record(&self) {
        if self.slots.running.lock().len() < self.slots.size * UNDER_WAY {
            self.step_aside();
        }
    }

    /// Gives the place to other jobs, while this one goes on and keeps its lease. Repeating it changes nothing.
    pub fn step_aside(&self) {
        if self.aside.swap(true, Ordering::Relaxed) {
            return;
        }
        let slots = &self.slots;
        slots.claimed[self.queue as usize].fetch_sub(1, Ordering::Relaxed);
        if self.begun.load(Ordering::Relaxed) {
            slots.waiting.lock().begun[self.queue as usize] -= 1;
            slots.pace.lock().count(Instant::now());
            slots.may_begin.wake();
        }
        slots.ended.notify_waiters();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.step_aside();
        let slots = &self.slots;
        let mut running = slots.running.lock();
        // If this process lost the lease and claimed the job again, the entry belongs to the newer attempt.
        if running.get(&self.job).is_some_and(|(attempt, _)| *attempt == self.attempt) {
            running.remove(&self.job);
        }
        if running.is_empty() {
            slots.emptied.notify_waiters();
        }
    }
}

/// How many jobs end in a second.
#[derive(Debug)]
struct Pace {
    since: Instant,
    ended: u32,
    a_second: f64,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { since: now, ended: 0, a_second: 0.0 }
    }

    fn count(&mut self, now: Instant) {
        self.ended += 1;
        self.measure(now);
    }

    fn measure(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed >= PACE_OVER {
            self.a_second = f64::from(self.ended) / elapsed.as_secs_f64();
            (self.since, self.ended) = (now, 0);
        }
    }

    /// How many jobs will end within this time, if it goes on like this.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a pace is positive and small")]
    fn within(&mut self, time: Duration, now: Instant) -> usize {
        self.measure(now);
        (self.a_second * time.as_secs_f64()) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use shared::queue::{Lease, Origin};

    use super::*;

    #[test]
    fn a_pace_follows_what_ends_and_forgets_it_when_nothing_does() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::new(start);
        assert_eq!(pace.within(MOMENT, at(0)), 0);
        for _ in 0..200 {
            pace.count(at(50));
        }
        assert_eq!(pace.within(MOMENT, at(100)), 100, "2000 a second are 100 in 50 ms");
        assert_eq!(pace.within(MOMENT, at(150)), 100, "not measured again yet");
        assert_eq!(pace.within(MOMENT, at(250)), 0, "nothing has ended since");
        pace.count(at(400));
        assert_eq!(pace.within(MOMENT, at(500)), 0, "a worker of long jobs claims nothing ahead");
    }

    fn job(queue: Queue) -> LeasedJob {
        LeasedJob {
            id: JobId(uuid::Uuid::now_v7()),
            attempt: 1,
            max_attempt: 8,
            queue,
            kind: "noop".to_owned(),
            version: 1,
            args: serde_json::Value::Null,
            subject: None,
            origin: Origin::default(),
            run_at: chrono::Utc::now(),
            lease: Arc::new(Lease::new(Instant::now(), Duration::from_secs(10))),
        }
    }

    fn begin(slots: &Slots) -> Option<ClaimedJob> {
        match slots.poll_begin(&Context::from_waker(Waker::noop())) {
            Poll::Ready(claimed) => Some(claimed),
            Poll::Pending => None,
        }
    }

    #[test]
    fn jobs_begin_by_priority_within_the_shares_of_their_queues() {
        let slots = Slots::new(4);
        let queues = [Queue::Low, Queue::Low, Queue::Default, Queue::High, Queue::High, Queue::High, Queue::High];
        assert_eq!(slots.admit(queues.map(job).to_vec()), []);
        let begun: Vec<ClaimedJob> = std::iter::from_fn(|| begin(&slots)).collect();
        let order: Vec<Queue> = begun.iter().map(|claimed| claimed.job.queue).collect();
        assert_eq!(order, [Queue::High, Queue::High, Queue::High, Queue::Default]);
        assert_eq!((slots.begun(), slots.running().len()), (4, 7));
        drop(begun);
        let rest: Vec<Queue> = std::iter::from_fn(|| begin(&slots)).map(|claimed| claimed.job.queue).collect();
        assert_eq!(rest, [Queue::High, Queue::Low, Queue::Low], "each had ended when the next one began");
        assert_eq!((slots.begun(), slots.running().len()), (0, 0));
    }

    #[test]
    fn jobs_that_only_record_give_their_slot_to_others_unless_there_are_very_many() {
        let slots = Slots::new(2);
        let mut recording = Vec::new();
        for _ in 0..2 * UNDER_WAY {
            assert_eq!(slots.admit(vec![job(Queue::Default)]), []);
            let begun = begin(&slots).expect("a slot is free");
            begun.slot.step_aside_to_record();
            recording.push(begun);
        }
        assert_eq!((slots.begun(), slots.free(Queue::Default)), (1, 1), "the last one has kept its slot");
        recording.remove(0);
        recording.last().expect("there are many").slot.step_aside_to_record();
        assert_eq!((slots.begun(), slots.free(Queue::Default)), (0, 2));
    }

    #[test]
    fn jobs_that_wait_for_too_long_or_when_the_worker_stops_go_back() {
        let slots = Slots::new(1);
        let (long, behind, late) = (job(Queue::Default), job(Queue::Default), job(Queue::Default));
        assert_eq!(slots.admit(vec![long.clone(), behind.clone()]), []);
        let begun = begin(&slots).unwrap();
        let soon = Instant::now();
        assert_eq!(slots.overdue(soon), []);
        assert_eq!(slots.overdue(soon + TOO_LONG + PACE_OVER), [(behind.id, 1)]);
        assert_eq!(slots.running().len(), 1, "its lease is not renewed any more");
        assert_eq!(slots.admit(vec![behind.clone()]), []);
        assert_eq!(slots.close(), [(behind.id, 1)]);
        assert_eq!(slots.admit(vec![late.clone()]), [(late.id, 1)]);
        drop(begun);
        assert!(begin(&slots).is_none() && slots.running().is_empty());
    }
}
