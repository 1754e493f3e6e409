//! `./dev prove`: breaks everything again and again while people buy, and shows whether every promise is kept.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use prove::Settings;
use tokio::sync::Notify;

/// Breaks a whole Millrace again and again while people buy, and checks every promise
///
/// Fails if a promise is broken, and names what broke it.
#[derive(Debug, Parser)]
#[command(name = "millrace-prove", version)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let asked = Arc::new(Notify::new());
    let stop = asked.clone();
    shared::platform::shutdown::when_asked(move || stop.notify_one());
    let done = tokio::select! {
        done = prove::run(&cli.settings) => done,
        // Dropping the run ends every process that it started.
        () = asked.notified() => Err(anyhow::anyhow!("interrupted")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("millrace-prove: {error:#}");
            ExitCode::FAILURE
        }
    }
}
