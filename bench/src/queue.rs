//! How fast the queue is: jobs that do nothing through real worker processes at their default settings, each
//! figure beside something that was measured in the same run.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::Utc;
use secrecy::{ExposeSecret, SecretString};
use shared::jobs::doorbell::Doorbell;
use shared::jobs::{self, Noop, Origin, Plan};
use sqlx::PgPool;
use tokio::process::{Child, Command};

const THROUGHPUT_JOBS: i32 = 50_000;
const LATENCY_JOBS: usize = 500;
const WAITING_JOBS: i32 = 3000;
const WAIT_MS: u64 = 50;
/// Longer than any part needs; a part that takes longer has failed.
const PATIENCE: Duration = Duration::from_mins(3);

pub struct Servers {
    pub database_url: SecretString,
    pub redis_url: SecretString,
    pub worker: PathBuf,
}

/// Runs all parts on an empty database and prints one table.
pub async fn run(servers: &Servers) -> Result<()> {
    let db = PgPool::connect(servers.database_url.expose_secret()).await.context("DATABASE_URL")?;
    shared::db::migrate(&db).await?;
    println!("| what | figure | beside it |\n| --- | --- | --- |");
    throughput(servers, &db).await?;
    latency(servers, &db).await?;
    scaling(servers, &db).await
}

async fn throughput(servers: &Servers, db: &PgPool) -> Result<()> {
    write(db, THROUGHPUT_JOBS, 0).await?;
    let before = commits(db).await?;
    let rate = rate_of(servers, db, 1, THROUGHPUT_JOBS).await?;
    let commits = (commits(db).await? - before) / f64::from(THROUGHPUT_JOBS);
    println!("| no-op jobs, one worker | {rate:.0} a second | {commits:.3} transactions a job |");
    Ok(())
}

/// From the commit of a job to the end of its handler, on an idle system: an upper bound of the time to its start.
async fn latency(servers: &Servers, db: &PgPool) -> Result<()> {
    let doorbell = Doorbell::new(Some(&servers.redis_url), PREFIX)?;
    let worker = start(servers)?;
    let plan = Plan { delay: Duration::ZERO, max_attempts: 8, origin: Origin::default() };
    let mut waits = Vec::new();
    // The first few find a worker that is still starting.
    for number in 0..LATENCY_JOBS + 20 {
        let mut tx = db.begin().await?;
        let ring = jobs::enqueue(&mut tx, &Noop { wait_ms: 0 }, &plan).await?.context("it has no unique key")?;
        tx.commit().await?;
        let committed = Utc::now();
        doorbell.ring([ring]);
        let deadline = Instant::now() + PATIENCE;
        let finished: chrono::DateTime<Utc> = loop {
            let done: Option<chrono::DateTime<Utc>> =
                sqlx::query_scalar("select finished_at from jobs where id = $1").bind(ring.id.0).fetch_one(db).await?;
            if let Some(done) = done {
                break done;
            }
            ensure!(Instant::now() < deadline, "a job was not carried out");
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        if number >= 20 {
            waits.push((finished - committed).as_seconds_f64() * 1000.0);
        }
    }
    stop(worker).await?;
    let bare = bare_pop(&servers.redis_url).await?;
    let (ours, theirs) = (quantiles(waits), quantiles(bare));
    println!(
        "| idle: commit to the end of a no-op handler | p50 {:.2} ms, p99 {:.2} ms | bare BZMPOP p50 {:.2} ms, p99 {:.2} ms; ratio {:.1} |",
        ours.0,
        ours.1,
        theirs.0,
        theirs.1,
        ours.0 / theirs.0,
    );
    Ok(())
}

/// What Redis alone takes from a push to the waiting pop.
async fn bare_pop(url: &SecretString) -> Result<Vec<f64>> {
    let client = redis::Client::open(url.expose_secret())?;
    let mut push = client.get_multiplexed_async_connection().await?;
    let mut pop = client.get_multiplexed_async_connection().await?;
    let mut waits = Vec::new();
    for _ in 0..LATENCY_JOBS {
        let popped = tokio::spawn(async move {
            let mut take = redis::cmd("BZMPOP");
            take.arg(1).arg(1).arg("{millrace-bench}:bare").arg("MIN").arg("COUNT").arg(32);
            take.exec_async(&mut pop).await.map(|()| (Instant::now(), pop))
        });
        tokio::time::sleep(Duration::from_millis(2)).await; // The pop is to wait already.
        let pushed = Instant::now();
        redis::cmd("ZADD").arg("{millrace-bench}:bare").arg("NX").arg(1).arg("id").exec_async(&mut push).await?;
        let (heard, again) = popped.await??;
        pop = again;
        waits.push(heard.duration_since(pushed).as_secs_f64() * 1000.0);
    }
    Ok(waits)
}

async fn scaling(servers: &Servers, db: &PgPool) -> Result<()> {
    let mut alone = None;
    for workers in [1, 2, 4] {
        write(db, WAITING_JOBS, WAIT_MS).await?;
        let rate = rate_of(servers, db, workers, WAITING_JOBS).await?;
        let alone = *alone.get_or_insert(rate);
        println!(
            "| jobs that wait {WAIT_MS} ms, {workers} workers | {rate:.0} a second | {:.2} × one worker |",
            rate / alone
        );
    }
    Ok(())
}

/// Runs what is written by so many workers; from the first start to the last end, by the database's clock.
async fn rate_of(servers: &Servers, db: &PgPool, workers: usize, jobs: i32) -> Result<f64> {
    let workers = (0..workers).map(|_| start(servers)).collect::<Result<Vec<_>>>()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left: i64 =
            sqlx::query_scalar("select count(*) from jobs where kind = 'noop' and state in ('ready', 'running')")
                .fetch_one(db)
                .await?;
        if left == 0 {
            break;
        }
        ensure!(Instant::now() < deadline, "{left} jobs were not carried out in time");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for worker in workers {
        stop(worker).await?;
    }
    let seconds: f64 = sqlx::query_scalar(
        "select extract(epoch from max(finished_at) - min(started_at))::float8 from jobs where kind = 'noop'",
    )
    .fetch_one(db)
    .await?;
    sqlx::query("delete from jobs where kind = 'noop'").execute(db).await?;
    Ok(f64::from(jobs) / seconds)
}

const PREFIX: &str = "millrace-bench";

fn start(servers: &Servers) -> Result<Child> {
    Command::new(&servers.worker)
        .env_clear()
        .env("DATABASE_URL", servers.database_url.expose_secret())
        .env("REDIS_URL", servers.redis_url.expose_secret())
        .env("REDIS_PREFIX", PREFIX)
        .env("WORKER_ADDR", "127.0.0.1:0")
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("the worker {} cannot be started; build it first", servers.worker.display()))
}

/// Asks a worker to stop: one that is killed keeps leases that the next part would wait for.
async fn stop(mut worker: Child) -> Result<()> {
    let pid = worker.id().context("the worker ended by itself")?;
    Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
    worker.wait().await?;
    Ok(())
}

async fn write(db: &PgPool, jobs: i32, wait_ms: u64) -> Result<()> {
    sqlx::query(
        "insert into jobs (queue, kind, args, max_attempt)
         select 'default', 'noop', jsonb_build_object('wait_ms', $1::bigint), 8 from generate_series(1, $2)",
    )
    .bind(wait_ms.cast_signed())
    .bind(jobs)
    .execute(db)
    .await?;
    sqlx::query("analyze jobs").execute(db).await?;
    Ok(())
}

async fn commits(db: &PgPool) -> Result<f64> {
    Ok(sqlx::query_scalar("select xact_commit::float8 from pg_stat_database where datname = current_database()")
        .fetch_one(db)
        .await?)
}

fn quantiles(mut waits: Vec<f64>) -> (f64, f64) {
    waits.sort_by(f64::total_cmp);
    (waits[waits.len() / 2], waits[waits.len() * 99 / 100])
}
