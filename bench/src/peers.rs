//! Other queues beside ours: jobs that do nothing, at the settings that suit each best. `./dev bench --peers` installs
//! them.
//!
//! None of them does what ours does (a job written in the transaction of its cause, lost by nothing that is killed):
//! they show what that costs, and what a queue in Redis alone can reach on this machine. All have the same Redis, which
//! writes its log to disk each second, as many processes, a backlog that is there before these start, and a handler
//! that does nothing. Each is a program with three verbs: `push JOBS`, `work NAME`, `one-by-one JOBS`.

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
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::load::settings::Settings;
use crate::load::system::System;
use crate::redis_client::connect;
use crate::report::{Report, Row, say};

const IDLE_JOBS: u32 = 200;
/// How often the backlog is looked at: a few hundred cheap commands a second.
const LOOK: Duration = Duration::from_millis(5);
/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_mins(5);

const PART: &str = "peers";

/// How fast a queue is: jobs a second out of a backlog by so many processes, and from the beginning of the push, with
/// all that makes it safe, to the start of the handler.
#[derive(Debug, Clone)]
pub struct Speed {
    pub per_second: Vec<(u32, f64)>,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

struct Peer {
    name: &'static str,
    /// What of it outlives what.
    keeps: &'static str,
    program: &'static [&'static str],
    /// What is left of a backlog: the lengths of these, and how they are asked for.
    lies_in: &'static [(&'static str, &'static str)],
    jobs: u32,
    note: &'static str,
}

/// The programs' files lie in the folder in which they are started.
const PEERS: [Peer; 4] = [
    Peer {
        name: "bare BZMPOP",
        keeps: "what is taken is lost with its taker",
        program: &["", "peer", "bare"],
        lies_in: &[("ZCARD", "bare")],
        jobs: 200_000,
        note: "ids out of a sorted set, 100 a call, and nothing else",
    },
    Peer {
        name: "apalis-redis",
        keeps: "the last second is lost with the machine",
        program: &["", "peer", "apalis"],
        lies_in: &[
            ("ZCARD", "noop:scheduled"),
            ("LLEN", "noop:active"),
            ("SCARD", "noop:inflight:worker-1"),
            ("SCARD", "noop:inflight:worker-2"),
        ],
        // With 8,000 due jobs its script fails for ever.
        jobs: 7000,
        note: "stock: batches of 500, 100 at once, looked at every 10 ms, no leases, no events; a backlog of 7,000, \
               since its script fails at 8,000",
    },
    Peer {
        name: "BullMQ",
        keeps: "the last second is lost with the machine",
        program: &["node", "bullmq.js"],
        lies_in: &[("LLEN", "bull:noop:wait"), ("LLEN", "bull:noop:active")],
        jobs: 50_000,
        note: "100 at once, finished jobs removed, pushed by addBulk",
    },
    Peer {
        name: "Sidekiq",
        keeps: "the last second is lost with the machine, what is taken with its taker",
        program: &["ruby", "sidekiq.rb"],
        lies_in: &[("LLEN", "queue:default")],
        jobs: 50_000,
        note: "10 threads, no log, no retries, pushed by push_bulk",
    },
];

/// Is everything there? To be asked before minutes are spent on measuring ours.
pub async fn check(dir: &Path) -> Result<()> {
    for probe in [["node", "-e", "import('bullmq')"], ["ruby", "-e", "require 'sidekiq'"]] {
        said(Command::new(probe[0]).args(&probe[1..]).current_dir(dir))
            .await
            .context("a peer is not installed; `./dev bench --peers` does that")?;
    }
    Ok(())
}

pub async fn measure(system: &System, settings: &Settings, ours: &Speed, report: &mut Report) -> Result<()> {
    for peer in &PEERS {
        let bench = Bench { system, settings, peer };
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
            let beside = format!("{}; {}", peer.name, peer.keeps);
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
}

impl Bench<'_> {
    fn jobs(&self) -> u32 {
        if self.settings.quick { self.peer.jobs.min(2000) } else { self.peer.jobs }
    }

    /// Of the middle eight tenths of a backlog, as ours is: a process takes up to a second to start.
    async fn rate(&self, processes: u32) -> Result<f64> {
        let jobs = self.jobs();
        self.system.redis.flush().await?;
        said(&mut self.command("push", &jobs.to_string())?).await?;
        let mut redis = connect(&self.system.redis).await?;
        let pushed = self.left(&mut redis).await?;
        ensure!(pushed == jobs, "{pushed} jobs lie in Redis, not {jobs}");
        let mut workers =
            (1..=processes).map(|number| Ok(self.work(number)?.spawn()?)).collect::<Result<Vec<Child>>>()?;
        let from = self.when_left(&mut redis, jobs - jobs / 10).await?;
        let until = self.when_left(&mut redis, jobs / 10).await?;
        for worker in &mut workers {
            ensure!(worker.try_wait()?.is_none(), "a worker ended by itself");
            worker.kill().await?;
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
                let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.context("its worker hangs")??;
                starts.extend(moment(&line.context("its worker ended")?));
            }
            anyhow::Ok(starts)
        };
        // The first finds a worker that is still starting.
        said(&mut self.command("one-by-one", "1")?).await?;
        starts(1).await?;
        let pushed = said(&mut self.command("one-by-one", &IDLE_JOBS.to_string())?).await?;
        let pushed: HashMap<u32, f64> = pushed.lines().filter_map(moment).collect();
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
        command.env("REDIS_URL", self.system.redis.url()).env("RUBYOPT", "-W0");
        let log = File::options().create(true).append(true).open(self.system.home.log(self.peer.name))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        Ok(command)
    }

    fn work(&self, number: u32) -> Result<Command> {
        self.command("work", &format!("worker-{number}"))
    }

    async fn left(&self, redis: &mut MultiplexedConnection) -> Result<u32> {
        let mut ask = redis::pipe();
        for (command, key) in self.peer.lies_in {
            ask.cmd(command).arg(key);
        }
        let lengths: Vec<u32> = ask.query_async(redis).await?;
        Ok(lengths.into_iter().sum())
    }

    /// When no more than so many were left, and how many were.
    async fn when_left(&self, redis: &mut MultiplexedConnection, most: u32) -> Result<(Instant, u32)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = self.left(redis).await?;
            if left <= most {
                return Ok((Instant::now(), left));
            }
            ensure!(Instant::now() < deadline, "{left} jobs are not carried out");
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What a command says, if it succeeds in time.
async fn said(command: &mut Command) -> Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let ran = tokio::time::timeout(PATIENCE, command.output());
    let output = ran.await.with_context(|| format!("{command:?} hangs"))?.with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A line of a peer: the number of a job, and when it was pushed or started.
fn moment(line: &str) -> Option<(u32, f64)> {
    let (number, at) = line.split_once(' ')?;
    Some((number.parse().ok()?, at.parse().ok()?))
}

/// The peers that are written in Rust are commands of this program.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Own {
    Bare,
    Apalis,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    Push { jobs: u32 },
    Work { name: String },
    OneByOne { jobs: u32 },
}

pub async fn run(peer: Own, verb: &Verb, redis_url: &str) -> Result<()> {
    match peer {
        Own::Bare => bare::run(verb, redis_url).await,
        Own::Apalis => apalis::run(verb, redis_url).await,
    }
}

/// Says when this numbered job began to be pushed, or has begun, by the machine's clock.
#[expect(clippy::cast_precision_loss, reason = "microseconds fit into a float until the year 2255")]
fn tell(number: u32, at: DateTime<Utc>) {
    println!("{number} {:.3}", at.timestamp_micros() as f64 / 1000.0);
}
