//! Flushes Redis several times during a large backlog. Do the workers go on, is ringing paced, and do writes of other
//! clients become slower?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use serde_json::json;
use servers::redis::Redis;
use sqlx::PgPool;
use tokio::task::JoinHandle;

use super::{Bench, PREFIX, counts, quantile, stop_all};
use crate::redis_client;

const JOBS: u32 = 100_000;
const WORKERS: u32 = 2;
const FLUSHES: u32 = 5;
const BETWEEN: Duration = Duration::from_millis(500);
/// How long other writes are measured without workers.
const QUIET: Duration = Duration::from_secs(2);
/// Pause between two writes of the other client: a moderate load.
const BETWEEN_WRITES: Duration = Duration::from_millis(5);

/// When the steps of the run began.
struct Times {
    /// Without workers.
    quiet: DateTime<Utc>,
    workers_started: DateTime<Utc>,
    first_flush: DateTime<Utc>,
    last_flush: DateTime<Utc>,
    ended: DateTime<Utc>,
}

/// Counters of Redis.
struct RedisLoad {
    commands: f64,
    zadds: f64,
    bytes: f64,
}

impl RedisLoad {
    async fn read(redis: &Redis) -> Result<Self> {
        Ok(Self {
            commands: counts::commands(redis).await?,
            zadds: counts::calls(redis, "zadd").await?,
            bytes: counts::bytes_in(redis).await?,
        })
    }
}

impl Bench<'_> {
    pub(super) async fn flush(&mut self) -> Result<()> {
        self.write_jobs(JOBS, 0).await?;
        let quiet = Utc::now();
        let (writer, watch) = (Writer::start(&self.db).await?, Watch::start(self.redis).await?);
        tokio::time::sleep(QUIET).await;

        let before = RedisLoad::read(self.redis).await?;
        let workers_started = Utc::now();
        let workers = self.start_workers(WORKERS).await?;
        self.wait_for_rest(i64::from(JOBS * 7 / 10)).await?;
        let first_flush = Utc::now();
        for _ in 0..FLUSHES {
            self.redis.flush().await?;
            tokio::time::sleep(BETWEEN).await;
        }
        let last_flush = Utc::now();
        self.wait_for_rest(0).await?;
        let times = Times { quiet, workers_started, first_flush, last_flush, ended: Utc::now() };
        let after = RedisLoad::read(self.redis).await?;
        let (writes, longest) = (writer.stop().await?, watch.stop().await?);
        stop_all(workers).await?;

        self.ensure_no_job_ran_twice().await?;
        let first: DateTime<Utc> =
            sqlx::query_scalar("select min(finished_at) from jobs where kind = 'noop'").fetch_one(&self.db).await?;
        self.report_rates(&times, first).await?;
        self.report_ringing(&before, &after, longest);
        self.report_writes(&times, first, &writes);
        Ok(())
    }

    async fn ensure_no_job_ran_twice(&self) -> Result<()> {
        let twice: i64 = sqlx::query_scalar("select count(*) from jobs where kind = 'noop' and attempt <> 1")
            .fetch_one(&self.db)
            .await?;
        ensure!(twice == 0, "{twice} jobs were not done by their first attempt");
        Ok(())
    }

    /// Reports jobs a second before, during and after the flushes.
    async fn report_rates(&mut self, times: &Times, first: DateTime<Utc>) -> Result<()> {
        let rates = [
            self.rate_between(first, times.first_flush).await?,
            self.rate_between(times.first_flush, times.last_flush).await?,
            self.rate_between(times.last_flush, times.ended).await?,
        ];
        let pause = self.longest_pause(times.first_flush).await?;
        self.say(
            format!("{JOBS} ready jobs, {WORKERS} workers, Redis flushed {FLUSHES} times"),
            format!("{:.0} a second before, {:.0} meanwhile, {:.0} after", rates[0], rates[1], rates[2]),
            format!("meanwhile {:.2} × before; longest pause {pause:.0} ms", rates[1] / rates[0]),
            json!({ "before": rates[0], "meanwhile": rates[1], "after": rates[2], "longest_pause_ms": pause }),
        );
        Ok(())
    }

    /// Reports the commands and bytes of Redis for each job.
    fn report_ringing(&mut self, before: &RedisLoad, after: &RedisLoad, longest: i64) {
        let jobs = f64::from(JOBS);
        let rings = after.zadds - before.zadds;
        let [commands, bytes] =
            [after.commands - before.commands, after.bytes - before.bytes].map(|count| count / jobs);
        self.say(
            "the same: ringing",
            format!("{rings:.0} `ZADD`, {commands:.3} Redis commands a job"),
            format!("{bytes:.0} bytes to Redis a job; at most {longest} ids in it"),
            json!({ "zadd": rings, "commands_per_job": commands, "bytes_per_job": bytes, "most_ids": longest }),
        );
    }

    /// Reports the latency of another client's writes: without workers, before the flushes and during them.
    fn report_writes(&mut self, times: &Times, first: DateTime<Utc>, writes: &[Write]) {
        let p99 = |from: DateTime<Utc>, until: DateTime<Utc>| {
            let within = writes.iter().filter(|write| (from..until).contains(&write.at));
            quantile(&mut within.map(|write| write.ms).collect::<Vec<_>>(), 0.99)
        };
        let quiet = p99(times.quiet, times.workers_started);
        let (busy, flushed) = (p99(first, times.first_flush), p99(times.first_flush, times.last_flush));
        self.say(
            "the same: a small write of another client, p99",
            format!("{busy:.1} ms before, {flushed:.1} ms meanwhile"),
            format!("{quiet:.1} ms without workers; meanwhile {:.2} × before", flushed / busy),
            json!({ "quiet_p99_ms": quiet, "before_p99_ms": busy, "meanwhile_p99_ms": flushed }),
        );
    }

    async fn rate_between(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<f64> {
        let done: i64 = sqlx::query_scalar(
            "select count(*) from jobs where kind = 'noop' and finished_at >= $1 and finished_at < $2",
        )
        .bind(from)
        .bind(until)
        .fetch_one(&self.db)
        .await?;
        let last: Option<DateTime<Utc>> =
            sqlx::query_scalar("select max(finished_at) from jobs where kind = 'noop' and finished_at < $1")
                .bind(until)
                .fetch_one(&self.db)
                .await?;
        let seconds = (last.context("some job was done")? - from).as_seconds_f64();
        Ok(f64::from(u32::try_from(done)?) / seconds)
    }

    /// The longest time in ms without a finished job.
    async fn longest_pause(&self, from: DateTime<Utc>) -> Result<f64> {
        Ok(sqlx::query_scalar(
            "select max(extract(epoch from pause))::float8 * 1000
               from (select finished_at - lag(finished_at) over (order by finished_at) as pause
                       from jobs where kind = 'noop' and finished_at >= $1) t",
        )
        .bind(from)
        .fetch_one(&self.db)
        .await?)
    }
}

struct Write {
    at: DateTime<Utc>,
    ms: f64,
}

/// Another client, which writes and commits one row at a time, as an order does, and measures the latency.
struct Writer {
    stopping: Arc<AtomicBool>,
    writing: JoinHandle<Result<Vec<Write>>>,
}

impl Writer {
    async fn start(db: &PgPool) -> Result<Self> {
        let mut conn = db.acquire().await?;
        sqlx::query("create table if not exists bench_writes (id bigserial primary key, at timestamptz default now())")
            .execute(&mut *conn)
            .await?;
        let stopping = Arc::new(AtomicBool::new(false));
        let stopped = stopping.clone();
        let writing = tokio::spawn(async move {
            let mut writes = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let (at, began) = (Utc::now(), Instant::now());
                sqlx::query("insert into bench_writes default values").execute(&mut *conn).await?;
                writes.push(Write { at, ms: began.elapsed().as_secs_f64() * 1000.0 });
                tokio::time::sleep(BETWEEN_WRITES).await;
            }
            sqlx::query("drop table bench_writes").execute(&mut *conn).await?;
            Ok(writes)
        });
        Ok(Self { stopping, writing })
    }

    async fn stop(self) -> Result<Vec<Write>> {
        self.stopping.store(true, Ordering::Relaxed);
        self.writing.await?
    }
}

/// Samples the size of the doorbell's set, and keeps the largest.
struct Watch {
    stopping: Arc<AtomicBool>,
    watching: JoinHandle<Result<i64>>,
}

impl Watch {
    async fn start(redis: &Redis) -> Result<Self> {
        let mut connection = redis_client::connect(redis).await?;
        let stopping = Arc::new(AtomicBool::new(false));
        let stopped = stopping.clone();
        let watching = tokio::spawn(async move {
            let mut longest = 0;
            while !stopped.load(Ordering::Relaxed) {
                let key = format!("{{{PREFIX}}}:default");
                let length: i64 = redis::cmd("ZCARD").arg(key).query_async(&mut connection).await?;
                longest = longest.max(length);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(longest)
        });
        Ok(Self { stopping, watching })
    }

    async fn stop(self) -> Result<i64> {
        self.stopping.store(true, Ordering::Relaxed);
        self.watching.await?
    }
}
