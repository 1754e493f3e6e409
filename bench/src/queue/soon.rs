//! Measures the latency of a job: from the answer to its commit until the first line of its handler, on an idle system,
//! one job at a time. The worker logs the start by the clock of the machine, which is also our clock.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use shared::queue::doorbell::Doorbell;
use shared::queue::{self, Noop, Origin, Plan};
use shared::values::JobId;

use super::{Bench, PREFIX, TIMEOUT, quantile};
use crate::redis_client::connect;

const JOBS: usize = 500;
/// The first jobs find a worker that is still starting, and statements that are not prepared yet. They are not counted.
const WARM_UP: usize = 20;
/// Pause between two jobs: the worker settles the last job and waits for the doorbell again.
const IDLE: Duration = Duration::from_millis(10);
/// How often the worker's log is read. The measured times are those in the log.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

impl Bench<'_> {
    pub(super) async fn soon(&mut self) -> Result<()> {
        let doorbell = Doorbell::new(Some(&self.redis.url().into()), PREFIX)?;
        // At level debug, a no-op job logs its start.
        let mut worker = self.worker(1, "info,worker::jobs=debug");
        worker.start().await?;
        let mut log = BufReader::new(File::open(worker.log())?);
        let (mut push, mut pop) = (connect(self.redis).await?, connect(self.redis).await?);
        let (mut ours, mut whole, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..WARM_UP + JOBS {
            let (since_commit, since_begin) = self.one(&doorbell, &mut log).await?;
            tokio::time::sleep(IDLE).await;
            let pop = push_to_pop(&mut push, &mut pop).await?;
            if number >= WARM_UP {
                ours.push(since_commit);
                whole.push(since_begin);
                bare.push(pop);
            }
        }
        worker.stop().await?;
        let [p50, p99] = [0.5, 0.99].map(|share| quantile(&mut ours, share));
        let [whole50, whole99] = [0.5, 0.99].map(|share| quantile(&mut whole, share));
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
        self.say(
            "the same from before its transaction: enqueue, commit on disk, start",
            format!("p50 {whole50:.2} ms, p99 {whole99:.2} ms"),
            format!("bare `BZMPOP`: ratio {:.1}, {:.1}", whole50 / bare50, whole99 / bare99),
            json!({ "p50_ms": whole50, "p99_ms": whole99, "bare_p50_ms": bare50, "bare_p99_ms": bare99 }),
        );
        Ok(())
    }

    /// Milliseconds to the start of a job: from the answer to its commit, and from the beginning of its transaction.
    async fn one(&self, doorbell: &Doorbell, log: &mut BufReader<File>) -> Result<(f64, f64)> {
        let plan = Plan { delay: Duration::ZERO, max_attempts: 8, origin: Origin::default() };
        let asked = Utc::now();
        let mut tx = self.db.begin().await?;
        let ring = queue::enqueue(&mut tx, &Noop { wait_ms: 0 }, &plan).await?.context("it has no unique key")?;
        tx.commit().await?;
        let committed = Utc::now();
        doorbell.ring([ring]);
        let began = tokio::time::timeout(TIMEOUT, begin_of(ring.id, log)).await.context("a job was not begun")??;
        Ok(((began - committed).as_seconds_f64() * 1000.0, (began - asked).as_seconds_f64() * 1000.0))
    }
}

async fn begin_of(job: JobId, log: &mut BufReader<File>) -> Result<DateTime<Utc>> {
    let id = job.to_string();
    let mut line = String::new();
    loop {
        log.read_line(&mut line)?;
        if !line.ends_with('\n') {
            tokio::time::sleep(POLL_INTERVAL).await; // The worker has not written the whole line yet.
            continue;
        }
        let said: Value = serde_json::from_str(&line).context("a worker logs JSON")?;
        if said["target"] == "worker::jobs" && said["job_id"] == id.as_str() {
            return Ok(said["timestamp"].as_str().context("a line has its time")?.parse()?);
        }
        line.clear();
    }
}

/// The latency in Redis alone, from a push to a pop that already waits.
async fn push_to_pop(push: &mut MultiplexedConnection, pop: &mut MultiplexedConnection) -> Result<f64> {
    let popped = tokio::spawn({
        let mut pop = pop.clone();
        async move {
            let mut take = redis::cmd("BZMPOP");
            take.arg(1).arg(1).arg("{bare}:bare").arg("MIN").arg("COUNT").arg(32);
            take.exec_async(&mut pop).await.map(|()| Instant::now())
        }
    });
    tokio::time::sleep(IDLE).await; // Let the pop wait first.
    let pushed = Instant::now();
    redis::cmd("ZADD").arg("{bare}:bare").arg("NX").arg(1).arg("id").exec_async(push).await?;
    Ok(popped.await??.duration_since(pushed).as_secs_f64() * 1000.0)
}
