//! The options of `./dev bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// What to measure. Default: everything but growth, sale and archive
    #[arg(value_enum)]
    pub part: Option<Part>,
    /// Seconds for each figure of placing, reads and growth. Figures of whole lives take twelve times as long
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=600))]
    pub seconds: u16,
    /// Takes half a minute and measures less of everything. Shows that the bench works, not how fast the system is
    #[arg(long)]
    pub quick: bool,
    /// Measures growth to ten million orders too. Takes one to two hours and 90 GB of disk
    #[arg(long)]
    pub long: bool,
    /// The number of orders for growth
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..=100_000_000))]
    pub rows: u32,
    /// Measures six other queues too, two in Postgres and four in Redis
    #[arg(long)]
    pub peers: bool,
    /// The folder of millrace-api and millrace-worker, built with --release
    #[arg(long, default_value = "target/release", value_name = "DIR")]
    pub bins: PathBuf,
    /// The folder for bench.json, bench.html and the installed peers
    #[arg(long, default_value = ".dev/bench", value_name = "DIR")]
    pub out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Orders of two lines over HTTP, beside a bare handler and a stored function
    Placing,
    /// From placed to shipped, with 1, 2 and 4 workers
    Lives,
    /// A minute of orders at the full rate, and how long until all of them are paid and shipped
    Sale,
    /// Reading products with the cache off, with Redis only, and with both tiers
    Reads,
    /// Jobs that do nothing or wait, and the latency to the start of a job. Not with --quick
    Queue,
    /// 5,000 events a second to an endpoint that answers and to one that fails
    Webhooks,
    /// Placing and reading with a million orders in the tables
    Growth,
    /// Placing while a year of old orders goes to files and is removed (docs/archive.md)
    Archive,
    /// All of these
    All,
}

impl Settings {
    pub fn wants(&self, part: Part) -> bool {
        match self.part {
            None => ![Part::Growth, Part::Sale, Part::Webhooks, Part::Archive].contains(&part),
            Some(Part::All) => true,
            Some(only) => only == part,
        }
    }

    pub fn time(&self) -> Duration {
        if self.quick { Duration::from_millis(500) } else { Duration::from_secs(self.seconds.into()) }
    }

    /// The time for figures that need a steady state.
    pub fn long_time(&self) -> Duration {
        self.time() * if self.quick { 4 } else { 12 }
    }

    /// The folder of the other queues' files.
    pub fn peers_dir(&self) -> PathBuf {
        self.out.join("peers")
    }

    /// Not counted: connections are opened, statements prepared and caches filled.
    pub fn warm_up(&self) -> Duration {
        if self.quick { Duration::from_millis(100) } else { Duration::from_millis(1500) }
    }
}
