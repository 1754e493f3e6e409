//! apalis-redis without changes, at the best settings that we found: frequent polling by a strategy that wakes the
//! worker again, no leases, a task for each job.

use std::task::{Context, Poll};
use std::time::Duration;

use ::apalis_redis::{Config, ConnectionManager, RedisStorage};
use anyhow::{Result, anyhow};
use apalis::layers::WorkerBuilderExt;
use apalis::prelude::{TaskSink, WorkerBuilder};
use apalis_core::backend::ext::BackendExt;
use apalis_core::backend::ext::poll_strategy::{PollSnapshot, PollStrategy};
use apalis_core::worker::ext::parallelize::ParallelizeExt;
use chrono::Utc;
use tokio::time::{Interval, MissedTickBehavior};

use super::{Verb, print_time};

const AT_ONCE: usize = 100;
/// Jobs fetched at each poll. With 100 the worker would wait for the next poll instead of working.
const BATCH: usize = 500;
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Only numbered jobs print when they start.
type Job = Option<u32>;

pub async fn run(verb: &Verb, redis_url: &str) -> Result<()> {
    let connection = ConnectionManager::new(redis::Client::open(redis_url)?).await?;
    let config = Config::default().queue("noop").batch_size(BATCH).lock_tasks(false).emit_events(false);
    let mut storage: RedisStorage<Job> = RedisStorage::new(connection).with_config(config);
    match verb {
        Verb::Push { jobs } => storage.push_bulk(vec![None; usize::try_from(*jobs)?]).await.map_err(failed),
        Verb::Work { name } => {
            let worker = WorkerBuilder::new(name.as_str())
                .backend(storage.poll_with_strategy(Every::new()))
                .concurrency(AT_ONCE)
                .parallelize(tokio::spawn)
                .build(begin);
            worker.run().await.map_err(failed)
        }
        Verb::OneByOne { jobs } => {
            for number in 0..*jobs {
                let at = Utc::now();
                storage.push(Some(number)).await.map_err(failed)?;
                print_time(number, at);
                tokio::time::sleep(POLL_INTERVAL).await; // Let the worker wait again.
            }
            Ok(())
        }
    }
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}

async fn begin(job: Job) {
    if let Some(number) = job {
        print_time(number, Utc::now());
    }
}

/// Wakes the worker at each tick. apalis's own interval strategy is not polled again after its first tick.
struct Every(Interval);

impl Every {
    fn new() -> Self {
        let mut every = tokio::time::interval(POLL_INTERVAL);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(every)
    }
}

impl PollStrategy for Every {
    fn poll_drive(&mut self, cx: &mut Context<'_>, _snapshot: &PollSnapshot) -> Poll<Option<()>> {
        while self.0.poll_tick(cx).is_ready() {}
        Poll::Pending
    }
}
