//! Measurements that a sceptic can run. Not shipped.

mod explain;
mod fill;
mod load;
mod peers;
mod queue;
mod redis_client;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use queue::Part;
use secrecy::{ExposeSecret, SecretString};

/// Measures Millrace.
#[derive(Debug, Parser)]
#[command(name = "millrace-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Database {
    /// Where Postgres is: postgres://user:password@host:port/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: SecretString,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fill an empty database with a shop of two years, migrating it first
    Fill {
        #[command(flatten)]
        database: Database,
        /// In each table that grows; some have a few times as many
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
        rows: u32,
    },
    /// Ask every list and every lookup of the API of a filled database, and show how Postgres found the answers
    ///
    /// Fails where a statement reads more than its answer is worth. Needs a superuser, and a database that may
    /// be written to: it logs people in and places an order.
    Explain {
        #[command(flatten)]
        database: Database,
        /// The same with all plans, as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// What `./dev bench` runs: the real binaries under load, each figure beside another of the same run
    Run(load::settings::Settings),
    /// What `./dev bench soak` runs: honest clients place orders, alone and while the API is attacked
    ///
    /// Fails if an honest client is refused, or if 99 of 100 orders take three times as long as alone.
    Soak(load::soak::SoakSettings),
    /// What orders and reads are measured against; `run` starts it
    #[command(hide = true)]
    Bare {
        #[command(flatten)]
        database: Database,
    },
    /// Run jobs that do nothing through real workers: how many a second, how soon, how they scale, what a flushed
    /// Redis costs, and whether the table stays healthy
    ///
    /// Needs a database without a shop in it, as a superuser, and starts a Redis of its own.
    Queue {
        #[command(flatten)]
        database: Database,
        /// Where millrace-worker is, built for speed
        #[arg(long, default_value = "target/release", value_name = "DIR")]
        bins: PathBuf,
        /// Only these parts; all of them without it
        #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
        only: Vec<Part>,
        /// How many jobs go through the table to see whether it stays healthy
        #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(200_000..))]
        jobs_health: u32,
        /// The same figures, and more, as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Other queues that are measured beside ours; `run --peers` starts them
    #[command(hide = true)]
    Peer {
        #[arg(value_enum)]
        peer: peers::Own,
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
