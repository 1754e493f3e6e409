//! How soon a job begins: from the moment in which its commit was answered to the first line of its handler, on
//! an idle system, one job at a time. The worker tells the latter by the machine's clock, which is ours too.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use shared::jobs::doorbell::Doorbell;
use shared::jobs::{self, Noop, Origin, Plan};
use shared::values::JobId;
use tokio::io::{BufReader, Lines};
use tokio::process::ChildStdout;

use super::processes::{PREFIX, Worker};
use super::{Bench, PATIENCE, quantile};

const JOBS: usize = 500;
/// The first find a worker that is still starting, and plans that are still made.
const WARM_UP: usize = 20;
/// Between two jobs: the worker writes that the last one is done, and listens again.
const IDLE: Duration = Duration::from_millis(10);

impl Bench {
    pub(super) async fn soon(&mut self) -> Result<()> {
        let doorbell = Doorbell::new(Some(&self.redis.url), PREFIX)?;
        let (worker, mut log) = Worker::start_talking(&self.worker, &self.database_url, &self.redis)?;
        let (mut push, mut pop) = (self.redis.connect().await?, self.redis.connect().await?);
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for number in 0..WARM_UP + JOBS {
            let wait = self.commit_to_start(&doorbell, &mut log).await?;
            tokio::time::sleep(IDLE).await;
            let pop = push_to_pop(&mut push, &mut pop).await?;
            if number >= WARM_UP {
                ours.push(wait);
                bare.push(pop);
            }
        }
        worker.stop().await?;
        let [p50, p99] = [0.5, 0.99].map(|share| quantile(&mut ours, share));
        let [bare50, bare99] = [0.5, 0.99].map(|share| quantile(&mut bare, share));
        self.say(
            "idle: commit to start of the handler",
            format!("p50 {p50:.2} ms, p99 {p99:.2} ms"),
            format!(
                "bare `BZMPOP` p50 {bare50:.2} ms, p99 {bare99:.2} ms; ratio {:.1}, {:.1}",
                p50 / bare50,
                p99 / bare99
            ),
            json!({ "p50_ms": p50, "p99_ms": p99, "bare_p50_ms": bare50, "bare_p99_ms": bare99 }),
        );
        Ok(())
    }

    async fn commit_to_start(&self, doorbell: &Doorbell, log: &mut Lines<BufReader<ChildStdout>>) -> Result<f64> {
        let plan = Plan { delay: Duration::ZERO, max_attempts: 8, origin: Origin::default() };
        let mut tx = self.db.begin().await?;
        let ring = jobs::enqueue(&mut tx, &Noop { wait_ms: 0 }, &plan).await?.context("it has no unique key")?;
        tx.commit().await?;
        let committed = Utc::now();
        doorbell.ring([ring]);
        let began = tokio::time::timeout(PATIENCE, begin_of(ring.id, log)).await.context("a job was not begun")??;
        Ok((began - committed).as_seconds_f64() * 1000.0)
    }
}

async fn begin_of(job: JobId, log: &mut Lines<BufReader<ChildStdout>>) -> Result<DateTime<Utc>> {
    let id = job.to_string();
    loop {
        let line = log.next_line().await?.context("the worker ended")?;
        let line: Value = serde_json::from_str(&line).context("a worker logs JSON")?;
        if line["target"] == "worker::jobs" && line["job_id"] == id.as_str() {
            return Ok(line["timestamp"].as_str().context("a line has its time")?.parse()?);
        }
    }
}

/// What Redis alone takes from a push to a pop that waits.
async fn push_to_pop(push: &mut MultiplexedConnection, pop: &mut MultiplexedConnection) -> Result<f64> {
    let popped = tokio::spawn({
        let mut pop = pop.clone();
        async move {
            let mut take = redis::cmd("BZMPOP");
            take.arg(1).arg(1).arg("{bare}:bare").arg("MIN").arg("COUNT").arg(32);
            take.exec_async(&mut pop).await.map(|()| Instant::now())
        }
    });
    tokio::time::sleep(IDLE).await; // The pop is to wait already.
    let pushed = Instant::now();
    redis::cmd("ZADD").arg("{bare}:bare").arg("NX").arg(1).arg("id").exec_async(push).await?;
    Ok(popped.await??.duration_since(pushed).as_secs_f64() * 1000.0)
}
