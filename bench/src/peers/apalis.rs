//! Stock apalis-redis at the best that was found: polled often by a strategy that wakes again, no locks, a backlog
//! that is kept under what its fetch script can take.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use ::apalis_redis::{Config, ConnectionManager, RedisStorage};
use anyhow::{Context, Result};
use apalis::layers::WorkerBuilderExt;
use apalis::prelude::{Data, TaskSink, WorkerBuilder};
use apalis_core::backend::ext::BackendExt;
use apalis_core::backend::ext::poll_strategy::{PollSnapshot, PollStrategy};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};
use uuid::Uuid;

use super::Speed;

/// With 8,000 due jobs its script fails for ever.
const BACKLOG: u32 = 2000;
const LOOK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_mins(1);

pub async fn measure(url: &str, jobs: u32, idle_jobs: u32) -> Result<Speed> {
    let connection = ConnectionManager::new(redis::Client::open(url)?).await?;
    let mut storage: RedisStorage<u32> = RedisStorage::new(connection)
        .with_config(Config::default().queue("peer").batch_size(100).lock_tasks(false).emit_events(false));
    let (started, mut starts) = mpsc::unbounded_channel::<Instant>();
    let worker = WorkerBuilder::new(format!("peer-{}", Uuid::now_v7()))
        .backend(storage.clone().poll_with_strategy(Every::new()))
        .concurrency(100)
        .data(Arc::new(started))
        .build(begin);
    let working = tokio::spawn(worker.run());
    let mut next = async || {
        tokio::time::timeout(PATIENCE, starts.recv()).await.context("apalis-redis wedged")?.context("its worker ended")
    };

    // The first finds a worker that is still starting.
    push(&mut storage, 1).await?;
    next().await?;
    let (mut pushed, mut first) = (0, None);
    for done in 0..jobs {
        if pushed <= done {
            pushed = jobs.min(pushed + BACKLOG);
            push(&mut storage, pushed - done).await?;
        }
        let at = next().await?;
        first.get_or_insert(at);
    }
    let per_second = f64::from(jobs - 1) / first.context("there are jobs")?.elapsed().as_secs_f64();

    let mut waits = Vec::new();
    for _ in 0..idle_jobs.min(30) {
        push(&mut storage, 1).await?;
        let pushed = Instant::now();
        waits.push(next().await?.saturating_duration_since(pushed).as_secs_f64() * 1000.0);
    }
    working.abort();
    Ok(Speed::of(per_second, waits))
}

async fn push(storage: &mut RedisStorage<u32>, jobs: u32) -> Result<()> {
    for job in 0..jobs {
        storage.push(job).await.map_err(|error| anyhow::anyhow!("{error}"))?;
    }
    Ok(())
}

async fn begin(_job: u32, started: Data<Arc<mpsc::UnboundedSender<Instant>>>) {
    // Nobody listens any more when the measurement is over.
    _ = started.send(Instant::now());
}

/// Wakes the worker at each tick. apalis's own interval is not polled again once it has fired.
struct Every(Interval);

impl Every {
    fn new() -> Self {
        let mut every = tokio::time::interval(LOOK);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(every)
    }
}

impl PollStrategy for Every {
    fn poll_drive(&mut self, cx: &mut TaskContext<'_>, _snapshot: &PollSnapshot) -> Poll<Option<()>> {
        while self.0.poll_tick(cx).is_ready() {}
        Poll::Pending
    }
}
