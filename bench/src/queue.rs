//! Measures the queue: no-op jobs through real worker processes with default settings. Each figure stands beside
//! another one of the same run.
//!
//! Every part begins without jobs and workers and with an empty Redis, so that no part affects another one.

pub mod counts;
mod flush;
mod health;
mod idle;
mod rates;
mod scrape;
mod soon;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;
use servers::home::Home;
use servers::process::Process;
use servers::redis::Redis;
use sqlx::PgPool;

/// The prefix of our own keys in Redis, which differs from the workers' prefix.
const PREFIX: &str = "millrace-bench";
/// Longer than any step needs, even while a compiler runs. A step that takes longer has failed.
const TIMEOUT: Duration = Duration::from_mins(3);
/// How often the remaining jobs are counted. The count reads an index, and must not slow down the workers.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// No-op jobs a second through one worker
    Rate,
    /// The cost of idle workers
    Idle,
    /// The latency from a job's commit to the start of its handler, on an idle system
    Soon,
    /// Jobs that wait, through 1, 2 and 4 workers
    Scaling,
    /// 100,000 ready jobs while Redis is flushed
    Flush,
    /// The jobs table after a million jobs
    Health,
    /// The cost of a scrape of a worker's metrics under full load
    Scrape,
}

pub struct Options {
    pub database_url: SecretString,
    /// The folder of `millrace-worker`.
    pub bins: PathBuf,
    pub parts: Vec<Part>,
    /// Jobs that go through the table to see whether it stays healthy.
    pub jobs: u32,
}

/// A line of the table, with its values for programs.
#[derive(Debug, Serialize)]
pub struct Line {
    pub what: String,
    pub figure: String,
    pub beside: String,
    pub values: Value,
}

struct Bench<'a> {
    home: &'a Home,
    redis: &'a Redis,
    options: &'a Options,
    db: PgPool,
    lines: Vec<Line>,
}

/// Runs the parts on a database without other users and on a new Redis, and prints one table.
pub async fn run(
    database_url: SecretString,
    bins: &Path,
    parts: Vec<Part>,
    jobs: u32,
    json: Option<&Path>,
) -> Result<()> {
    // The workers run in another folder.
    let options =
        &Options { database_url, bins: bins.canonicalize().with_context(|| bins.display().to_string())?, parts, jobs };
    let lines = Home::during(async |home| {
        let redis = Redis::start(home).await?;
        measure(home, &redis, options).await
    })
    .await?;
    println!("| what | figure | beside it |\n| --- | --- | --- |");
    for Line { what, figure, beside, .. } in &lines {
        println!("| {what} | {figure} | {beside} |");
    }
    let Some(file) = json else { return Ok(()) };
    std::fs::write(file, serde_json::to_string_pretty(&lines)?).with_context(|| file.display().to_string())
}

/// Measures the parts. Empties the Redis.
pub async fn measure(home: &Home, redis: &Redis, options: &Options) -> Result<Vec<Line>> {
    let db = PgPool::connect(options.database_url.expose_secret()).await.context("DATABASE_URL")?;
    shared::platform::db::migrate::up(&db, &shared::migrations::MIGRATOR).await?;
    let used = "select exists (select from products) or exists (select from orders)";
    if sqlx::query_scalar(used).fetch_one(&db).await? {
        bail!("the database contains products or orders, and this would delete its jobs; create a new database");
    }
    let mut bench = Bench { home, redis, options, db, lines: Vec::new() };
    for part in &options.parts {
        bench.clear().await?;
        match part {
            Part::Rate => bench.rate().await,
            Part::Idle => bench.idle().await,
            Part::Soon => bench.soon().await,
            Part::Scaling => bench.scaling().await,
            Part::Flush => bench.flush().await,
            Part::Health => bench.health().await,
            Part::Scrape => bench.scrape().await,
        }
        .with_context(|| format!("part {part:?}"))?;
    }
    bench.db.close().await;
    Ok(bench.lines)
}

impl Bench<'_> {
    async fn clear(&self) -> Result<()> {
        sqlx::query("truncate jobs, job_attempts, workers").execute(&self.db).await?;
        self.redis.flush().await
    }

    fn say(&mut self, what: impl Into<String>, figure: String, beside: String, values: Value) {
        let line = Line { what: what.into(), figure, beside, values };
        crate::report::say(format!("{}: {}; {}", line.what, line.figure, line.beside));
        self.lines.push(line);
    }

    fn worker(&self, number: u32, log: &str) -> Process {
        let settings = [
            ("DATABASE_URL", self.options.database_url.expose_secret()),
            ("REDIS_URL", &self.redis.url()),
            ("REDIS_PREFIX", PREFIX),
            ("RUST_LOG", log),
        ];
        Process::worker(self.home, &self.options.bins, &format!("worker-{number}"), &settings)
    }

    /// With default settings, except for the log level.
    async fn start_workers(&self, count: u32) -> Result<Vec<Process>> {
        let mut workers: Vec<Process> =
            (1..=count).map(|number| self.worker(number, "warn,millrace_worker=info")).collect();
        futures::future::try_join_all(workers.iter_mut().map(Process::start)).await?;
        Ok(workers)
    }

    /// Writes jobs without ringing the doorbell, as if the API had died after each commit.
    async fn write_jobs(&self, jobs: u32, wait_ms: u32) -> Result<()> {
        sqlx::query(
            "insert into jobs (queue, kind, args, max_attempt)
             select 'default', 'noop', jsonb_build_object('wait_ms', $1::bigint), 8 from generate_series(1, $2::bigint)",
        )
        .bind(i64::from(wait_ms))
        .bind(i64::from(jobs))
        .execute(&self.db)
        .await?;
        Ok(())
    }

    /// Waits until at most this many jobs are left.
    async fn wait_for_rest(&self, rest: i64) -> Result<()> {
        self.wait("the jobs are done", async || {
            let left: i64 =
                sqlx::query_scalar("select count(*) from jobs where state in ('ready', 'running') and kind = 'noop'")
                    .fetch_one(&self.db)
                    .await?;
            Ok(left <= rest)
        })
        .await
    }

    async fn wait(&self, what: &str, mut condition: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        while !condition().await? {
            ensure!(Instant::now() < deadline, "timed out waiting until {what}");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Transactions that were committed on this database. Nearly all of our statements are transactions of their own.
    async fn statements(&self) -> Result<f64> {
        sqlx::query("select pg_stat_force_next_flush()").execute(&self.db).await?;
        let sql = "select xact_commit::float8 from pg_stat_database where datname = current_database()";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.db).await?)
    }
}

async fn stop_all(workers: Vec<Process>) -> Result<()> {
    for mut worker in workers {
        worker.stop().await?;
    }
    Ok(())
}

/// The quantile of the values.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "there are few"
    )]
    let index = (values.len() as f64 * share) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}
