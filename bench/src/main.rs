//! Measurements of Millrace. Not shipped.

mod explain;
mod fill;
mod load;
mod peers;
mod queue;
mod redis_client;
mod report;
mod shoppers;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use queue::Part;
use secrecy::{ExposeSecret, SecretString};

/// Measures Millrace
#[derive(Debug, Parser)]
#[command(name = "millrace-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Database {
    /// The URL of Postgres: postgres://user:password@host:port/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: SecretString,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fills an empty database with two years of orders, after migrating it
    Fill {
        #[command(flatten)]
        database: Database,
        /// Rows in each table that grows. Some tables get a few times as many
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
        rows: u32,
    },
    /// Runs every list and lookup of the API on a filled database, and shows the plans of Postgres
    ///
    /// Fails if a statement reads too much for its answer. Needs a superuser, and a database that may be written to: it
    /// logs users in and places an order.
    Explain {
        #[command(flatten)]
        database: Database,
        /// Writes the same with all plans as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// What `./dev bench` runs: the real binaries under load, each figure beside another one of the same run
    Run(load::settings::Settings),
    /// What `./dev bench soak` runs: honest clients place orders, alone and while the API is attacked
    ///
    /// Fails if an honest client is refused, or if 99 of 100 orders take three times as long as alone.
    Soak(load::soak::SoakSettings),
    /// What `./dev bench console` runs: the cost of 100 open consoles beside one, with 2 million jobs and orders coming in
    ///
    /// Fails if an aim of the console is not met: statements, CPU, the slowest statement, the time of a page, the size of
    /// a first visit.
    Console(load::consoles::ConsoleSettings),
    /// Simulated customers, who buy with every test card until they are stopped: `./dev up --demo`
    Shop {
        /// The address of the API
        #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
        url: String,
        #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
        customers: u16,
    },
    /// The baseline for orders and reads; `run` starts it
    #[command(hide = true)]
    Bare {
        #[command(flatten)]
        database: Database,
    },
    /// Runs jobs that do nothing through real workers: rate, latency, scaling, the effect of a flushed Redis, and the
    /// health of the jobs table
    ///
    /// Needs a superuser, and a database without products and orders. Starts a Redis of its own.
    Queue {
        #[command(flatten)]
        database: Database,
        /// The folder of millrace-worker, built with --release
        #[arg(long, default_value = "target/release", value_name = "DIR")]
        bins: PathBuf,
        /// Measures only these parts. Default: all
        #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
        only: Vec<Part>,
        /// Jobs that go through the table to see whether it stays healthy
        #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(200_000..))]
        jobs_health: u32,
        /// Writes the same figures, and more, as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Other queues that are measured beside ours; `run --peers` starts them
    #[command(hide = true)]
    Peer {
        #[arg(value_enum)]
        peer: peers::RustPeer,
        #[command(subcommand)]
        verb: peers::Verb,
        #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
        redis_url: SecretString,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Fill { database, rows } => fill::run(&database.database_url, rows).await.map(|()| true),
        Command::Run(settings) => load::run(&settings).await.map(|()| true),
        Command::Soak(settings) => load::soak::run(&settings).await,
        Command::Console(settings) => load::consoles::run(&settings).await,
        Command::Shop { url, customers } => shoppers::run(&url, customers.into()).await.map(|()| true),
        Command::Bare { database } => load::bare::serve(&database.database_url).await.map(|()| true),
        Command::Queue { database: Database { database_url }, bins, only, jobs_health: jobs, json } => {
            let parts = if only.is_empty() { Part::value_variants().to_vec() } else { only };
            queue::run(database_url, &bins, parts, jobs, json.as_deref()).await.map(|()| true)
        }
        Command::Peer { peer, verb, redis_url } => {
            peers::run(peer, &verb, redis_url.expose_secret()).await.map(|()| true)
        }
        Command::Explain { database, json } => explain::run(&database.database_url, json.as_deref()).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("millrace-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
