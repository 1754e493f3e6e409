//! What it costs to look at a worker while it works as hard as it can: each figure beside a bare question to the same
//! database at the same moment.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::MissedTickBehavior;

pub struct Servers {
    pub database_url: SecretString,
    pub redis_url: SecretString,
    pub worker: PathBuf,
}

/// The gauges are believed for two seconds, or for twenty times what asking took. Looking seldomer than the first, a
/// scrape asks the database as often as it may.
const EVERY: Duration = Duration::from_millis(2100);
const SCRAPES: usize = 20;
/// More than a worker can do while it is looked at so often.
const JOBS: i32 = 500_000;
/// A worker that does not answer in this time is not there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at a worker that has more than it can do, and then at one that has nothing to do.
pub async fn run(servers: &Servers) -> Result<()> {
    let db = PgPool::connect(servers.database_url.expose_secret()).await.context("DATABASE_URL")?;
    shared::db::migrate(&db).await?;
    println!("| a scrape | p50 | worst | beside it: `select 1` |\n| --- | --- | --- | --- |");
    for (what, jobs) in [("of a worker under full load", JOBS), ("of a worker that waits", 0)] {
        sqlx::query(
            "insert into jobs (queue, kind, args, max_attempt)
             select 'default', 'noop', '{\"wait_ms\": 0}', 8 from generate_series(1, $1)",
        )
        .bind(jobs)
        .execute(&db)
        .await?;
        sqlx::query("analyze jobs").execute(&db).await?;
        let (mut worker, url) = start(servers).await?;
        let (scrapes, bare) = look(&db, &url).await?;
        let left: i64 = sqlx::query_scalar("select count(*) from jobs where kind = 'noop' and state = 'ready'")
            .fetch_one(&db)
            .await?;
        ensure!((left > 0) == (jobs > 0), "the worker was not as busy as it should be: {left} jobs are left");
        worker.kill().await?;
        sqlx::query("delete from jobs where kind = 'noop'").execute(&db).await?;
        println!("| {what} | {:.1} ms | {:.1} ms | {:.1} ms, {:.1} ms |", scrapes.0, scrapes.1, bare.0, bare.1);
    }
    Ok(())
}

/// The middle and the worst of the scrapes, and of a question that costs nothing.
async fn look(db: &PgPool, url: &str) -> Result<((f64, f64), (f64, f64))> {
    let (mut scrapes, mut bare) = (Vec::new(), Vec::new());
    // Made once: loading its certificates takes longer than a scrape.
    let http = reqwest::Client::new();
    let mut pulse = tokio::time::interval(EVERY);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..SCRAPES {
        pulse.tick().await;
        let asked = Instant::now();
        sqlx::query("select 1").execute(db).await?;
        bare.push(asked.elapsed().as_secs_f64() * 1000.0);
        let asked = Instant::now();
        let page = http.get(format!("{url}/metrics")).send().await?.error_for_status()?.text().await?;
        scrapes.push(asked.elapsed().as_secs_f64() * 1000.0);
        ensure!(page.contains("millrace_queue_ready"), "the page has no gauges");
    }
    Ok((middle_and_worst(scrapes), middle_and_worst(bare)))
}

fn middle_and_worst(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() - 1])
}

/// A worker whose gauges are known, and where it shows them: the first scrape may have to go without.
async fn start(servers: &Servers) -> Result<(Child, String)> {
    let addr = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let worker = Command::new(&servers.worker)
        .env_clear()
        .env("DATABASE_URL", servers.database_url.expose_secret())
        .env("REDIS_URL", servers.redis_url.expose_secret())
        .env("REDIS_PREFIX", "millrace-bench")
        .env("WORKER_ADDR", addr.to_string())
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("the worker {} cannot be started; build it first", servers.worker.display()))?;
    let url = format!("http://{addr}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(page) = reqwest::get(format!("{url}/metrics")).await
            && page.text().await?.contains("millrace_queue_ready")
        {
            return Ok((worker, url));
        }
        ensure!(Instant::now() < deadline, "the worker shows no gauges");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
