//! What `./dev bench` is asked for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

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
    pub fn wants(&self, part: Part) -> bool {
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
