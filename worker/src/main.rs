//! Settings, pool, fleet, stop gracefully.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tokio::net::TcpListener;
use worker::config::Cli;
use worker::serve::{self, Vitals};

#[tokio::main]
async fn main() -> ExitCode {
    if let Err(error) = run().await {
        eprintln!("millrace-worker: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn run() -> anyhow::Result<()> {
    shared::settings::read_dotenv().map_err(anyhow::Error::msg)?;
    let Cli { common, work } = Cli::parse();
    shared::telemetry::init(common.log_format, &common.rust_log)
        .map_err(|error| anyhow::anyhow!("RUST_LOG or logging: {error}"))?;
    common.check().map_err(anyhow::Error::msg)?;
    work.check(&common).map_err(anyhow::Error::msg)?;

    let addr = work.worker_addr;
    let listener =
        TcpListener::bind(addr).await.with_context(|| format!("WORKER_ADDR={addr} cannot be listened on"))?;
    let addr = listener.local_addr()?;
    let db = common.pool("millrace-worker").map_err(anyhow::Error::msg)?;
    let vitals = Vitals::new(&common, db)?;
    tracing::info!(%addr, "health and metrics are at http://{addr}");

    let stopping = vitals.stopping.clone();
    let stop = stopping.clone();
    tokio::spawn(shared::shutdown::when_asked(move || stop.cancel()));
    tokio::select! {
        () = stopping.cancelled() => {} // Here the fleet will run, until it has finished what it took.
        failed = serve::serve(listener, vitals) => failed?,
    }
    tracing::info!("stopped");
    Ok(())
}
