//! `./dev bench`: figures of the real binaries under load, each beside something that was measured in the same run
//! on the same machine. Servers and processes of its own, `fsync` on.

pub mod bare;
mod generator;
mod growth;
mod http;
mod lives;
mod placing;
mod queue;
mod reads;
mod shop;
mod system;
pub mod usage;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, ValueEnum};
use servers::Home;

use crate::peers;
use crate::report::{Report, say};
pub use system::System;

#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// What is measured; everything but growth, if not said
    #[arg(value_enum)]
    pub part: Option<Part>,
    /// Each figure of placing, reading and growth; whole lives take twelve times as long, so a minute for 5
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=600))]
    pub seconds: u16,
    /// Less of everything, in half a minute: shows that it works, not how fast it is
    #[arg(long)]
    pub quick: bool,
    /// Growth also to ten million orders, which takes an hour or two and 90 GB of disk
    #[arg(long)]
    pub long: bool,
    /// Growth to so many orders
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..=100_000_000))]
    pub rows: u32,
    /// Also other queues: the best of what Rust, Ruby and Node have on Redis
    #[arg(long)]
    pub peers: bool,
    /// Where millrace-api and millrace-worker are, built for speed
    #[arg(long, default_value = "target/release", value_name = "DIR")]
    pub bins: PathBuf,
    /// Where bench.json and bench.html are written, and peers are installed
    #[arg(long, default_value = ".dev/bench", value_name = "DIR")]
    pub out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Orders of two lines over HTTP, beside a bare handler and a stored function
    Placing,
    /// From placed to shipped, with 1, 2 and 4 workers
    Lives,
    /// Products, with the cache off, in Redis only, and in both tiers
    Reads,
    /// Jobs that do nothing or wait, and how soon one begins; not with --quick
    Queue,
    /// Placing and reading with a million orders in the tables
    Growth,
    /// All of these
    All,
}

impl Settings {
    fn wants(&self, part: Part) -> bool {
        match self.part {
            None => part != Part::Growth,
            Some(Part::All) => true,
            Some(only) => only == part,
        }
    }

    pub fn time(&self) -> Duration {
        if self.quick { Duration::from_millis(500) } else { Duration::from_secs(self.seconds.into()) }
    }

    /// What has to be sustained.
    pub fn long_time(&self) -> Duration {
        self.time() * if self.quick { 4 } else { 12 }
    }

    /// Where the files of other queues are.
    pub fn peers_dir(&self) -> PathBuf {
        self.out.join("peers")
    }

    /// Thrown away: connections are made, statements prepared, caches filled.
    pub fn warm_up(&self) -> Duration {
        if self.quick { Duration::from_millis(100) } else { Duration::from_millis(1500) }
    }
}

/// Measures what is wanted, prints the table and writes the report.
pub async fn run(settings: &Settings) -> Result<()> {
    let start = Instant::now();
    if settings.wants(Part::Growth) {
        growth::check(settings).await?;
    }
    if settings.peers {
        peers::check(&settings.peers_dir()).await?;
    }
    let mut report = Home::during(async |home| measure(home, settings).await).await?;
    report.setting.push(format!("measured in {:.0} s", start.elapsed().as_secs_f64()));
    println!("\n{}\n\n{}\n{}", report.setting.join("\n"), report.table(), report.verdict());
    report.write(&settings.out)?;
    println!("With notes and plots: {0}/bench.html; for machines: {0}/bench.json", settings.out.display());
    Ok(())
}

async fn measure(home: &Home, settings: &Settings) -> Result<Report> {
    say("starting Postgres and Redis, and filling a shop of 10,000 products");
    let system = System::start(home, &settings.bins.canonicalize()?).await?;
    let mut report = Report { setting: system.describe(settings).await?, ..Report::default() };
    if settings.wants(Part::Placing) {
        placing::measure(&system, settings, &mut report).await?;
    }
    if settings.wants(Part::Lives) {
        lives::measure(&system, settings, &mut report).await?;
    }
    if settings.wants(Part::Reads) {
        reads::measure(&system, settings, &mut report).await?;
    }
    if settings.wants(Part::Growth) {
        growth::measure(&system, settings, &mut report).await?;
    }
    if settings.peers || (settings.wants(Part::Queue) && !settings.quick) {
        let ours = queue::measure(&system, settings, &mut report).await?;
        if settings.peers {
            peers::measure(&system, settings, &ours, &mut report).await?;
        }
    }
    system.stop().await?;
    Ok(report)
}
