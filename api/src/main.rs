//! Settings, pool, serve, stop gracefully.

use std::process::ExitCode;

use api::config::{Cli, Command};
use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    dotenvy::dotenv().ok();
    let cli = Cli::parse();
    if let Err(error) = run(cli).await {
        eprintln!("millrace-api: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    shared::telemetry::init(cli.common.log_format, &cli.common.rust_log)
        .map_err(|error| anyhow::anyhow!("RUST_LOG or logging: {error}"))?;
    cli.common.check().map_err(anyhow::Error::msg)?;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => api::serve::serve(cli.common, cli.serve).await,
        Command::Migrate { down } => api::commands::migrate(&cli.common, down).await,
        Command::Seed { dir } => api::commands::seed(&cli.common, &dir).await,
        Command::CreateUser { email, password, role, name } => {
            api::commands::create_user(&cli.common, email, password, role, name).await
        }
    }
}
