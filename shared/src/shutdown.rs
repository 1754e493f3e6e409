//! When is this process asked to stop? Writes no table.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM or Ctrl-C and calls `stop`, which lets what runs finish. Asked a second time, the process
/// leaves at once.
pub async fn when_asked(stop: impl FnOnce() + Send) {
    asked().await;
    tracing::info!("asked to stop: finishing what runs");
    stop();
    asked().await;
    tracing::warn!("asked again: leaving at once");
    #[expect(clippy::disallowed_methods, reason = "the person at the terminal does not want to wait any longer")]
    std::process::exit(1);
}

async fn asked() {
    let mut terminate = signal(SignalKind::terminate()).expect("the runtime handles signals");
    let mut interrupt = signal(SignalKind::interrupt()).expect("the runtime handles signals");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
