//! The binary `millrace-api`: reads the settings and runs one command.

use std::process::ExitCode;

use api::config::{Cli, Command, FeedCommand};
use clap::Parser;
use mimalloc::MiMalloc;

/// Hashing a password takes 19 MiB, on many threads. The system's allocator would keep that memory for every thread.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    if let Err(error) = run().await {
        eprintln!("millrace-api: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn run() -> anyhow::Result<()> {
    shared::platform::settings::read_dotenv().map_err(anyhow::Error::msg)?;
    let cli = Cli::parse();
    let telemetry =
        shared::platform::telemetry::start(&cli.common, "millrace-api").map_err(anyhow::Error::from_boxed)?;
    cli.common.check().map_err(anyhow::Error::msg)?;
    let done = match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => api::serve::serve(cli.common, cli.serve).await,
        Command::Migrate { down, app_role } => {
            api::commands::migrate(&cli.common, down, app_role.as_deref().filter(|role| !role.is_empty())).await
        }
        Command::Seed { dir, demo_users: false, .. } => api::commands::seed(&cli.common, &dir).await,
        Command::Seed { dir, demo_users: true, force } => {
            api::commands::seed_with_users(&cli.common, &cli.serve, &dir, force).await
        }
        Command::Health => shared::health::ask_process(cli.serve.metrics_addr).await.map_err(anyhow::Error::msg),
        Command::Feed { command: FeedCommand::Rebuild } => api::commands::rebuild_feed(&cli.common).await,
        Command::CreateUser { email, password, role, name } => {
            api::commands::create_user(&cli.common, email, password, role, name).await
        }
    };
    telemetry.stop().await;
    done
}
