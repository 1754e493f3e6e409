//! `./dev prove`: injects faults while buyers use the system, and checks every promise.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use prove::Settings;
use tokio::sync::Notify;

/// Injects faults into a running Millrace while buyers use it, and checks every promise
///
/// Exits with 1 and names the violations if a promise is broken.
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
        // When the future of the run is dropped, all its processes end.
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
