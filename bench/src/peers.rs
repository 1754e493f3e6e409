//! Other queues beside ours: jobs that do nothing, at the settings that suit each best. `--peers` installs them.
//!
//! None of them does what ours does (a job written in the transaction of its cause, lost by nothing that is killed):
//! they show what that costs, and what a queue in Redis alone can reach on this machine.

mod apalis;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::process::Command;

use crate::load::{Settings, System};
use crate::report::{Report, Row};

const JOBS: u32 = 50_000;
/// apalis-redis takes a few hundred jobs a second, and wedges on a backlog.
const APALIS_JOBS: u32 = 5000;
const IDLE_JOBS: u32 = 200;
/// Threads of Sidekiq's process: its own default, and more only wait for Ruby's lock.
const SIDEKIQ_THREADS: &str = "10";
/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_mins(5);

const PART: &str = "peers";

/// How fast a queue is: jobs a second out of a backlog, and from the answered push to the start of the handler.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Speed {
    #[serde(default)]
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

pub async fn measure(system: &System, settings: &Settings, ours: Speed, report: &mut Report) -> Result<()> {
    // All write their backlog to the same Redis, one after the other.
    let redis = system.redis_url();
    let peers = [
        ("bare BZMPOP, 100 a call", bare(&redis).await?),
        ("apalis-redis", apalis::measure(&redis, APALIS_JOBS, IDLE_JOBS).await?),
        ("BullMQ", bullmq(&redis, &settings.out.join("peers")).await?),
        ("Sidekiq", sidekiq(&redis).await?),
    ];
    for (name, theirs) in peers {
        report.rows.extend([
            Row::new(PART, "no-op jobs, one worker process", ours.per_second, "a second")
                .beside(name, theirs.per_second),
            Row::new(PART, "idle: to the start of the handler, p50", ours.p50_ms, "ms").beside(name, theirs.p50_ms),
            Row::new(PART, "idle: to the start of the handler, p99", ours.p99_ms, "ms").beside(name, theirs.p99_ms),
        ]);
    }
    Ok(())
}

/// What Redis itself does: ids out of a sorted set, and one id to a client that waits.
async fn bare(url: &str) -> Result<Speed> {
    let client = redis::Client::open(url)?;
    let (mut push, mut pop) =
        (client.get_multiplexed_async_connection().await?, client.get_multiplexed_async_connection().await?);
    for from in (0..JOBS).step_by(1000) {
        let mut add = redis::cmd("ZADD");
        add.arg("bare");
        for id in from..from + 1000 {
            add.arg(id).arg(uuid::Uuid::now_v7().to_string());
        }
        add.exec_async(&mut push).await?;
    }
    let mut take = redis::cmd("BZMPOP");
    take.arg(1).arg(1).arg("bare").arg("MIN").arg("COUNT").arg(100);
    let start = Instant::now();
    for _ in 0..JOBS / 100 {
        let taken: Option<(String, Vec<(String, f64)>)> = take.query_async(&mut pop).await?;
        ensure!(taken.is_some_and(|(_, ids)| ids.len() == 100), "the set was shorter than written");
    }
    let per_second = f64::from(JOBS) / start.elapsed().as_secs_f64();
    let mut waits = Vec::new();
    for _ in 0..IDLE_JOBS {
        let take = take.clone();
        let waiting = tokio::spawn(async move { (take.exec_async(&mut pop).await.map(|()| Instant::now()), pop) });
        tokio::time::sleep(Duration::from_millis(5)).await; // The pop is to wait already.
        redis::cmd("ZADD").arg("bare").arg(1).arg("id").exec_async(&mut push).await?;
        let pushed = Instant::now();
        let (popped, again) = waiting.await?;
        pop = again;
        waits.push(popped?.saturating_duration_since(pushed).as_secs_f64() * 1000.0);
    }
    Ok(Speed::of(per_second, waits))
}

impl Speed {
    fn of(per_second: f64, mut waits: Vec<f64>) -> Self {
        waits.sort_by(f64::total_cmp);
        let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
        Self { per_second, p50_ms: at(50), p99_ms: at(99) }
    }
}

async fn bullmq(redis: &str, dir: &Path) -> Result<Speed> {
    std::fs::create_dir_all(dir)?;
    for (name, text) in
        [("package.json", include_str!("../peers/package.json")), ("bullmq.js", include_str!("../peers/bullmq.js"))]
    {
        std::fs::write(dir.join(name), text)?;
    }
    if !dir.join("node_modules/bullmq").exists() {
        output(Command::new("npm").args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(dir)).await?;
    }
    let port = redis.rsplit(':').next().context("the address has a port")?;
    let said = output(Command::new("node").args(["bullmq.js", port, &JOBS.to_string()]).current_dir(dir)).await?;
    Ok(serde_json::from_str(&said)?)
}

async fn sidekiq(redis: &str) -> Result<Speed> {
    if output(Command::new("ruby").args(["-e", "require 'sidekiq'"])).await.is_err() {
        output(Command::new("apt-get").args(["install", "-y", "-q", "--no-install-recommends", "ruby-sidekiq"]))
            .await?;
    }
    let script = Script::write()?;
    let ruby = |args: [&str; 2]| {
        let mut command = Command::new("ruby");
        command.arg(&script.0).args(args).env("REDIS_URL", redis);
        command
    };
    output(&mut ruby(["push", &JOBS.to_string()])).await?;
    let client = redis::Client::open(redis)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut server = Command::new("sidekiq")
        .args(["-c", SIDEKIQ_THREADS, "-r"])
        .arg(&script.0)
        .env("REDIS_URL", redis)
        .env("RUBYOPT", "-W0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    // From when it has begun, since a Ruby process takes a second to start.
    let mut begun = None;
    let deadline = Instant::now() + PATIENCE;
    let per_second = loop {
        ensure!(Instant::now() < deadline, "Sidekiq did not carry out its jobs");
        let left: u32 = redis::cmd("LLEN").arg("queue:default").query_async(&mut connection).await?;
        match begun {
            None if left < JOBS => begun = Some((Instant::now(), left)),
            Some((at, from)) if left == 0 => break f64::from(from) / at.elapsed().as_secs_f64(),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let idle: Speed = serde_json::from_str(&output(&mut ruby(["idle", &IDLE_JOBS.to_string()])).await?)?;
    server.kill().await?;
    Ok(Speed { per_second, ..idle })
}

/// A Ruby file for as long as it is needed.
struct Script(PathBuf);

impl Script {
    fn write() -> Result<Self> {
        let file = std::env::temp_dir().join(format!("millrace-sidekiq-{}.rb", std::process::id()));
        std::fs::write(&file, include_str!("../peers/sidekiq.rb"))?;
        Ok(Self(file))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// What a command says, if it succeeds in time.
async fn output(command: &mut Command) -> Result<String> {
    let ran = tokio::time::timeout(PATIENCE, command.stdin(Stdio::null()).kill_on_drop(true).output());
    let output = ran.await.with_context(|| format!("{command:?} hangs"))?.with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
