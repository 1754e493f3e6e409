//! The worker's program: reads the settings, connects, runs jobs, and stops gracefully.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use shared::platform::http::limits::Limits;
use shared::platform::insecure;
use tokio::net::TcpListener;
use worker::config::{Cli, Command};
use worker::context::Context;
use worker::{Vitals, fleet, serve};

#[tokio::main]
async fn main() -> ExitCode {
    if let Err(error) = Box::pin(run()).await {
        eprintln!("millrace-worker: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn run() -> anyhow::Result<()> {
    shared::platform::settings::read_dotenv().map_err(anyhow::Error::msg)?;
    let Cli { common, work, command } = Cli::parse();
    let telemetry =
        shared::platform::telemetry::start(&common, "millrace-worker").map_err(anyhow::Error::from_boxed)?;
    common.check().map_err(anyhow::Error::msg)?;
    if let Some(Command::Health) = command {
        return shared::health::ask_process(work.worker_addr).await.map_err(anyhow::Error::msg);
    }
    work.check(&common).map_err(anyhow::Error::msg)?;

    let addr = work.worker_addr;
    let listener = TcpListener::bind(addr).await.with_context(|| format!("cannot listen on WORKER_ADDR={addr}"))?;
    let addr = listener.local_addr()?;
    let database = common.database().map_err(anyhow::Error::msg)?;
    let context = Context::connect(&database, &common, &work)?;
    let vitals = Vitals::new(&context, work.insecure(&common))?;
    database.fence.register(vitals.metrics.registry())?;
    insecure::report(&vitals.insecure, vitals.metrics.registry())?;
    let stopping = vitals.stopping.clone();
    shared::platform::shutdown::when_asked(move || stopping.cancel());
    tracing::info!(%addr, "health and metrics are at http://{addr}");
    tokio::select! {
        done = fleet::run(context, &work, &vitals) => done?,
        failed = serve::serve(listener, vitals.clone(), Limits::default()) => failed?,
    }
    tracing::info!("stopped");
    telemetry.stop().await;
    Ok(())
}
