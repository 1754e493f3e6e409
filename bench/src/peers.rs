//! Measures other queues beside ours: no-op jobs, at the best settings that we found for each. `./dev bench --peers`
//! installs them.
//!
//! None of them gives our guarantees: a job is written in the transaction of its cause, and no killed process loses it.
//! The comparison shows what these guarantees cost, and what others reach on this machine. All use the same Postgres, with
//! each commit on disk, or the same Redis, which writes its append-only file to disk once a second; the same number of
//! processes, a backlog that exists before the processes start, and a handler that does nothing. Each peer is a program
//! with three commands: `push JOBS`, `work NAME` and `one-by-one JOBS`.

pub mod apalis;
pub mod bare;

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use clap::{Subcommand, ValueEnum};
use redis::aio::MultiplexedConnection;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::load::settings::Settings;
use crate::load::system::System;
use crate::redis_client::connect;
use crate::report::{Report, Row, say};

const IDLE_JOBS: u32 = 200;
/// How often the backlog is counted. In Postgres the count itself takes some milliseconds.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// A step that takes longer hangs.
const TIMEOUT: Duration = Duration::from_mins(5);

const PART: &str = "peers";

/// The speed of a queue: jobs a second from a backlog, by number of processes; and the latency from the beginning of
/// the push to the start of the handler.
#[derive(Debug, Clone)]
pub struct Speed {
    pub per_second: Vec<(u32, f64)>,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

struct Peer {
    name: &'static str,
    /// What a crash loses.
    loses: &'static str,
    program: &'static [&'static str],
    backlog: Backlog,
    jobs: u32,
    note: &'static str,
}

/// Where a peer keeps its jobs, and how the rest of a backlog is counted.
enum Backlog {
    /// Commands with their keys. The rest is the sum of their answers.
    Redis(&'static [(&'static str, &'static str)]),
    /// A table in a database of its own, and which of its rows are not done.
    Postgres { table: &'static str, left: &'static str },
}

/// The programs run in the folder that contains their files.
const PEERS: [Peer; 6] = [
    Peer {
        name: "graphile-worker",
        loses: "a killed worker's jobs come back after four hours, and a job that comes back too early runs twice",
        program: &["node", "graphile.js"],
        backlog: Backlog::Postgres { table: "graphile_worker._private_jobs", left: "true" },
        jobs: 50_000,
        note: "in Postgres, as ours: 24 at once, a local queue of 500, completions in batches without delay; finished jobs are \
               deleted",
    },
    Peer {
        name: "pg-boss",
        loses: "a killed worker's jobs come back after 15 minutes, and a job that comes back too early runs twice",
        program: &["node", "pgboss.js"],
        backlog: Backlog::Postgres { table: "pgboss.job", left: "name = 'noop' and state < 'completed'" },
        jobs: 50_000,
        note: "in Postgres, as ours: four workers with batches of 500, which end together; polled every 0.5 s",
    },
    Peer {
        name: "bare BZMPOP",
        loses: "a killed worker loses its jobs",
        program: &["", "peer", "bare"],
        backlog: Backlog::Redis(&[("ZCARD", "bare")]),
        jobs: 200_000,
        note: "ids out of a sorted set, 100 a call, and nothing else",
    },
    Peer {
        name: "apalis-redis",
        loses: "a crash of the machine loses the last second",
        program: &["", "peer", "apalis"],
        backlog: Backlog::Redis(&[
            ("ZCARD", "noop:scheduled"),
            ("LLEN", "noop:active"),
            ("SCARD", "noop:inflight:worker-1"),
            ("SCARD", "noop:inflight:worker-2"),
        ]),
        // With 8,000 due jobs its script fails for ever.
        jobs: 7000,
        note: "unchanged: batches of 500, 100 at once, polled every 10 ms, no leases, no events; a backlog of 7,000, \
               since its script fails at 8,000",
    },
    Peer {
        name: "BullMQ",
        loses: "a crash of the machine loses the last second",
        program: &["node", "bullmq.js"],
        backlog: Backlog::Redis(&[("LLEN", "bull:noop:wait"), ("LLEN", "bull:noop:active")]),
        jobs: 50_000,
        note: "100 at once, finished jobs removed, pushed by addBulk",
    },
    Peer {
        name: "Sidekiq",
        loses: "a crash of the machine loses the last second, a killed worker loses its jobs",
        program: &["ruby", "sidekiq.rb"],
        backlog: Backlog::Redis(&[("LLEN", "queue:default")]),
        jobs: 50_000,
        note: "10 threads, no log, no retries, pushed by push_bulk",
    },
];

/// Checks that all peers are installed, before minutes are spent on measuring ours.
pub async fn check(dir: &Path) -> Result<()> {
    for probe in [
        ["node", "-e", "import('bullmq'); import('graphile-worker'); import('pg-boss')"],
        ["ruby", "-e", "require 'sidekiq'"],
    ] {
        output_of(Command::new(probe[0]).args(&probe[1..]).current_dir(dir))
            .await
            .context("a peer is not installed; `./dev bench --peers` does that")?;
    }
    Ok(())
}

pub async fn measure(system: &System, settings: &Settings, ours: &Speed, report: &mut Report) -> Result<()> {
    for peer in &PEERS {
        let bench = Bench::new(system, settings, peer).await?;
        let mut per_second = Vec::new();
        for &(processes, _) in &ours.per_second {
            say(format!("peers: {}, {} jobs, worker processes: {processes}", peer.name, bench.jobs()));
            per_second.push(bench.rate(processes).await.context(peer.name)?);
        }
        say(format!("peers: {}, idle", peer.name));
        let (p50_ms, p99_ms) = bench.idle().await.context(peer.name)?;
        for (&(processes, our), their) in ours.per_second.iter().zip(per_second) {
            let what =
                format!("no-op jobs, worker processes: {processes}; each on disk before its enqueue is answered");
            let beside = format!("{}; {}", peer.name, peer.loses);
            report.rows.push(Row::new(PART, what, our, "a second").beside(beside, their).note(peer.note));
        }
        report.rows.extend([
            Row::new(PART, "idle: from the push to the start of the handler, p50", ours.p50_ms, "ms")
                .beside(peer.name, p50_ms),
            Row::new(PART, "idle: from the push to the start of the handler, p99", ours.p99_ms, "ms")
                .beside(peer.name, p99_ms),
        ]);
    }
    Ok(())
}

struct Bench<'a> {
    system: &'a System,
    settings: &'a Settings,
    peer: &'a Peer,
    redis: MultiplexedConnection,
    /// A database of its own, and a connection to it, for a peer that keeps its jobs there.
    database: (String, PgPool),
}

impl<'a> Bench<'a> {
    async fn new(system: &'a System, settings: &'a Settings, peer: &'a Peer) -> Result<Self> {
        let redis = connect(&system.redis).await?;
        let url = system.create(&format!("peer_{}", peer.name.replace(['-', ' '], "_").to_lowercase())).await?;
        let db = PgPoolOptions::new().max_connections(1).connect(&url).await?;
        Ok(Self { system, settings, peer, redis, database: (url, db) })
    }

    fn jobs(&self) -> u32 {
        if self.settings.quick { self.peer.jobs.min(2000) } else { self.peer.jobs }
    }

    /// The rate of the middle 80 % of a backlog, as for ours: a process takes up to a second to start.
    async fn rate(&self, processes: u32) -> Result<f64> {
        let jobs = self.jobs();
        self.system.redis.flush().await?;
        output_of(&mut self.command("push", &jobs.to_string())?).await?;
        let pushed = self.left().await?;
        ensure!(pushed == jobs, "{pushed} jobs are waiting, not {jobs}");
        let mut workers =
            (1..=processes).map(|number| Ok(self.work(number)?.spawn()?)).collect::<Result<Vec<Child>>>()?;
        let from = self.when_left(jobs - jobs / 10).await?;
        let until = self.when_left(jobs / 10).await?;
        for worker in &mut workers {
            ensure!(worker.try_wait()?.is_none(), "a worker ended without being asked to");
            worker.kill().await?;
        }
        if let Backlog::Postgres { table, .. } = self.peer.backlog {
            sqlx::query(AssertSqlSafe(format!("truncate {table} cascade"))).execute(&self.database.1).await?;
        }
        Ok(f64::from(from.1 - until.1) / (until.0 - from.0).as_secs_f64())
    }

    /// p50 and p99 of one job at a time.
    async fn idle(&self) -> Result<(f64, f64)> {
        self.system.redis.flush().await?;
        let mut worker = self.work(1)?.stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(worker.stdout.take().context("it is piped")?).lines();
        let mut starts = async |jobs: usize| {
            let mut starts = HashMap::new();
            while starts.len() < jobs {
                let line = tokio::time::timeout(TIMEOUT, lines.next_line()).await.context("its worker hangs")??;
                starts.extend(parse_line(&line.context("its worker ended")?));
            }
            anyhow::Ok(starts)
        };
        // The first job finds a worker that is still starting, so it is not measured.
        output_of(&mut self.command("one-by-one", "1")?).await?;
        starts(1).await?;
        let pushed = output_of(&mut self.command("one-by-one", &IDLE_JOBS.to_string())?).await?;
        let pushed: HashMap<u32, f64> = pushed.lines().filter_map(parse_line).collect();
        let started = starts(pushed.len()).await?;
        worker.kill().await?;
        let mut waits: Vec<f64> = pushed.iter().map(|(number, at)| started[number] - at).collect();
        waits.sort_by(f64::total_cmp);
        let at = |percent: usize| waits.get(waits.len() * percent / 100).copied().context("nothing was pushed");
        Ok((at(50)?, at(99)?))
    }

    fn command(&self, verb: &str, argument: &str) -> Result<Command> {
        let [program, args @ ..] = self.peer.program else { unreachable!("each has a program") };
        let own = std::env::current_exe()?;
        let mut command = Command::new(if program.is_empty() { own.as_os_str() } else { program.as_ref() });
        command.args(args).args([verb, argument]).current_dir(self.settings.peers_dir());
        command.env("REDIS_URL", self.system.redis.url()).env("DATABASE_URL", &self.database.0).env("RUBYOPT", "-W0");
        let log = File::options().create(true).append(true).open(self.system.home.log(self.peer.name))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        Ok(command)
    }

    fn work(&self, number: u32) -> Result<Command> {
        self.command("work", &format!("worker-{number}"))
    }

    async fn left(&self) -> Result<u32> {
        match self.peer.backlog {
            Backlog::Redis(keys) => {
                let mut ask = redis::pipe();
                for (command, key) in keys {
                    ask.cmd(command).arg(key);
                }
                let lengths: Vec<u32> = ask.query_async(&mut self.redis.clone()).await?;
                Ok(lengths.into_iter().sum())
            }
            Backlog::Postgres { table, left } => {
                let count = AssertSqlSafe(format!("select count(*) from {table} where {left}"));
                let left: i64 = sqlx::query_scalar(count).fetch_one(&self.database.1).await?;
                Ok(u32::try_from(left)?)
            }
        }
    }

    /// Waits until at most this many jobs are left. Returns the time and the number of jobs left.
    async fn when_left(&self, most: u32) -> Result<(Instant, u32)> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let left = self.left().await?;
            if left <= most {
                return Ok((Instant::now(), left));
            }
            ensure!(Instant::now() < deadline, "{left} jobs are not done");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Runs a command and returns its output. Fails if the command fails or hangs.
async fn output_of(command: &mut Command) -> Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let ran = tokio::time::timeout(TIMEOUT, command.output());
    let output = ran.await.with_context(|| format!("{command:?} hangs"))?.with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A line of a peer's output: the number of a job, and when it was pushed or started.
fn parse_line(line: &str) -> Option<(u32, f64)> {
    let (number, at) = line.split_once(' ')?;
    Some((number.parse().ok()?, at.parse().ok()?))
}

/// The peers written in Rust are commands of this program.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum RustPeer {
    Bare,
    Apalis,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    Push { jobs: u32 },
    Work { name: String },
    OneByOne { jobs: u32 },
}

pub async fn run(peer: RustPeer, verb: &Verb, redis_url: &str) -> Result<()> {
    match peer {
        RustPeer::Bare => bare::run(verb, redis_url).await,
        RustPeer::Apalis => apalis::run(verb, redis_url).await,
    }
}

/// Prints when the push of a numbered job began, or when the job started, by the clock of the machine.
#[expect(clippy::cast_precision_loss, reason = "microseconds fit into a float until the year 2255")]
fn print_time(number: u32, at: DateTime<Utc>) {
    println!("{number} {:.3}", at.timestamp_micros() as f64 / 1000.0);
}
