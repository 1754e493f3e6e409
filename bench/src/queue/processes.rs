//! The processes that are measured: workers, and a Redis of our own that may be flushed.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use redis::aio::MultiplexedConnection;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};

/// Keeps the names of what we make in Redis apart from what the workers make.
pub const PREFIX: &str = "millrace-bench";
/// A worker that is asked to stop finishes what runs within 20 s.
const STOPPING: Duration = Duration::from_secs(40);

/// A `millrace-worker` at its default settings, killed when this is dropped.
pub struct Worker {
    child: Child,
}

impl Worker {
    pub fn start(binary: &Path, database_url: &SecretString, redis: &Redis) -> Result<Self> {
        Ok(Self {
            child: command(binary, database_url, redis)
                .env("RUST_LOG", "warn")
                .spawn()
                .with_context(|| missing(binary))?,
        })
    }

    /// Also tells each line of its log, in which no-ops say that they begin.
    pub fn start_talking(
        binary: &Path,
        database_url: &SecretString,
        redis: &Redis,
    ) -> Result<(Self, Lines<BufReader<ChildStdout>>)> {
        let mut command = command(binary, database_url, redis);
        command.env("RUST_LOG", "info,worker::jobs=debug").stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| missing(binary))?;
        let lines = BufReader::new(child.stdout.take().context("it is piped")?).lines();
        Ok((Self { child }, lines))
    }

    /// Processor time so far, in seconds: of all its threads, by the scheduler's own count in nanoseconds.
    pub fn cpu(&self) -> Result<f64> {
        let pid = self.child.id().context("a worker ended by itself")?;
        let mut nanoseconds = 0.0;
        for thread in std::fs::read_dir(format!("/proc/{pid}/task")).context("this part needs Linux's /proc")? {
            let spent = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            nanoseconds += spent.split(' ').next().context("it begins with the time")?.parse::<f64>()?;
        }
        Ok(nanoseconds / 1e9)
    }

    /// Asks it to stop: one that is killed keeps leases that the next part would wait for.
    pub async fn stop(mut self) -> Result<()> {
        let pid = self.child.id().context("a worker ended by itself")?;
        Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        let ended = tokio::time::timeout(STOPPING, self.child.wait()).await.context("a worker did not stop")??;
        ensure!(ended.success(), "a worker ended with {ended}");
        Ok(())
    }
}

pub async fn stop_all(workers: Vec<Worker>) -> Result<()> {
    for worker in workers {
        worker.stop().await?;
    }
    Ok(())
}

fn missing(binary: &Path) -> String {
    format!("the worker {} cannot be started; build it first", binary.display())
}

fn command(binary: &Path, database_url: &SecretString, redis: &Redis) -> Command {
    let mut command = Command::new(binary);
    command
        .env_clear()
        .env("DATABASE_URL", database_url.expose_secret())
        .env("REDIS_URL", redis.url.expose_secret())
        .env("REDIS_PREFIX", PREFIX)
        .env("WORKER_ADDR", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A `redis-server` that nobody else uses, ended when this is dropped.
pub struct Redis {
    pub url: SecretString,
    _child: Child,
}

impl Redis {
    pub async fn start() -> Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp"])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("redis-server, version 7 or newer, is not installed")?;
        let redis = Self { url: format!("redis://127.0.0.1:{port}").into(), _child: child };
        let deadline = Instant::now() + Duration::from_secs(10);
        while redis.connect().await.is_err() {
            ensure!(Instant::now() < deadline, "redis-server did not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(redis)
    }

    pub async fn connect(&self) -> Result<MultiplexedConnection> {
        Ok(redis::Client::open(self.url.expose_secret())?.get_multiplexed_async_connection().await?)
    }

    pub async fn flush(&self) -> Result<()> {
        Ok(redis::cmd("FLUSHALL").exec_async(&mut self.connect().await?).await?)
    }

    /// What a line `name:value` of `INFO` says; nothing where there is none, as for a command never used.
    async fn info(&self, section: &str, name: &str) -> Result<Option<String>> {
        let info: String = redis::cmd("INFO").arg(section).query_async(&mut self.connect().await?).await?;
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(line.map(str::to_owned))
    }

    /// All commands so far.
    pub async fn commands(&self) -> Result<f64> {
        Ok(self.info("stats", "total_commands_processed").await?.context("Redis counts its commands")?.parse()?)
    }

    /// How often one command was used so far.
    pub async fn calls(&self, command: &str) -> Result<f64> {
        let Some(line) = self.info("commandstats", &format!("cmdstat_{command}")).await? else { return Ok(0.0) };
        let calls = line.split(',').find_map(|part| part.strip_prefix("calls="));
        Ok(calls.context("Redis counts calls")?.parse()?)
    }

    /// Bytes that Redis was sent so far.
    pub async fn bytes_in(&self) -> Result<f64> {
        Ok(self.info("stats", "total_net_input_bytes").await?.context("Redis counts its bytes")?.parse()?)
    }
}
