//! How good the queue is: jobs that do nothing through real worker processes at their default settings, each
//! figure beside something that was measured in the same run.
//!
//! Every part begins with no jobs, no workers and an empty Redis, so none measures what another left behind.

mod flush;
mod health;
mod idle;
mod processes;
mod rates;
mod soon;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;

use processes::{Redis, Worker};

/// Longer than any step needs, also beside a compiler; a step that takes longer has failed.
const PATIENCE: Duration = Duration::from_mins(3);
/// How often what is left is counted: that reads an index, and must not slow down what it watches.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// No-op jobs a second through one worker
    Rate,
    /// What workers cost that have nothing to do
    Idle,
    /// From a job's commit to the start of its handler, on an idle system
    Soon,
    /// Jobs that wait, through 1, 2 and 4 workers
    Scaling,
    /// 100,000 ready jobs while Redis is flushed
    Flush,
    /// The jobs table after very many jobs
    Health,
}

pub struct Options {
    pub database_url: SecretString,
    pub worker: PathBuf,
    pub parts: Vec<Part>,
    /// How many jobs go through the table to see whether it stays healthy.
    pub jobs: u32,
    pub json: Option<PathBuf>,
}

/// A line of the table, and the same for machines.
#[derive(Debug, Serialize)]
struct Line {
    what: String,
    figure: String,
    beside: String,
    values: Value,
}

struct Bench {
    database_url: SecretString,
    db: PgPool,
    redis: Redis,
    worker: PathBuf,
    lines: Vec<Line>,
}

/// Runs the parts on a database of no other use and prints one table.
pub async fn run(options: Options) -> Result<()> {
    let db = PgPool::connect(options.database_url.expose_secret()).await.context("DATABASE_URL")?;
    shared::db::migrate(&db).await?;
    let used = "select exists (select from products) or exists (select from orders)";
    if sqlx::query_scalar(used).fetch_one(&db).await? {
        bail!("the database has a shop in it, and this empties its jobs; make a new one");
    }
    let Options { database_url, worker, parts, jobs, json } = options;
    let mut bench = Bench { database_url, db, redis: Redis::start().await?, worker, lines: Vec::new() };
    println!("| what | figure | beside it |\n| --- | --- | --- |");
    for part in parts {
        bench.clear().await?;
        match part {
            Part::Rate => bench.rate().await,
            Part::Idle => bench.idle().await,
            Part::Soon => bench.soon().await,
            Part::Scaling => bench.scaling().await,
            Part::Flush => bench.flush().await,
            Part::Health => bench.health(jobs).await,
        }
        .with_context(|| format!("part {part:?}"))?;
    }
    json.as_deref().map_or(Ok(()), |file| bench.write(file))
}

impl Bench {
    async fn clear(&self) -> Result<()> {
        sqlx::query("truncate jobs, job_attempts, workers").execute(&self.db).await?;
        self.redis.flush().await
    }

    fn say(&mut self, what: impl Into<String>, figure: String, beside: String, values: Value) {
        let line = Line { what: what.into(), figure, beside, values };
        println!("| {} | {} | {} |", line.what, line.figure, line.beside);
        self.lines.push(line);
    }

    fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.lines)?;
        std::fs::write(file, text).with_context(|| file.display().to_string())
    }

    fn start_worker(&self) -> Result<Worker> {
        Worker::start(&self.worker, &self.database_url, &self.redis)
    }

    async fn start_workers(&self, count: u32) -> Result<Vec<Worker>> {
        let workers = (0..count).map(|_| self.start_worker()).collect::<Result<Vec<_>>>()?;
        self.wait("workers live", async || {
            let live: i64 = sqlx::query_scalar("select count(*) from workers").fetch_one(&self.db).await?;
            Ok(live == i64::from(count))
        })
        .await?;
        Ok(workers)
    }

    /// Writes jobs that nobody rings for, as if the API had died after each commit.
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

    /// Waits until no more than so many jobs are left.
    async fn wait_for_rest(&self, rest: i64) -> Result<()> {
        self.wait("the jobs are carried out", async || {
            let left: i64 =
                sqlx::query_scalar("select count(*) from jobs where state in ('ready', 'running') and kind = 'noop'")
                    .fetch_one(&self.db)
                    .await?;
            Ok(left <= rest)
        })
        .await
    }

    async fn wait(&self, what: &str, mut condition: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !condition().await? {
            ensure!(Instant::now() < deadline, "waited in vain until {what}");
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Statements that ended on this database; all of ours are transactions of their own but for a few.
    async fn statements(&self) -> Result<f64> {
        sqlx::query("select pg_stat_force_next_flush()").execute(&self.db).await?;
        let sql = "select xact_commit::float8 from pg_stat_database where datname = current_database()";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.db).await?)
    }
}

/// The value below which this share of them lies.
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
