//! Stops the process on SIGTERM and Ctrl-C. Writes no table.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// On the first SIGTERM or Ctrl-C, calls `stop`, which lets running work finish. On the second one, exits at once.
///
/// Call it before the process reports that it has started, because it may be asked to stop right after that.
pub fn when_asked(stop: impl FnOnce() + Send + 'static) {
    let mut asked = Asked {
        terminate: signal(SignalKind::terminate()).expect("the runtime handles signals"),
        interrupt: signal(SignalKind::interrupt()).expect("the runtime handles signals"),
    };
    tokio::spawn(async move {
        asked.wait().await;
        tracing::info!("asked to stop: finishing the running work");
        stop();
        asked.wait().await;
        tracing::warn!("asked to stop a second time: exiting at once");
        #[expect(clippy::disallowed_methods, reason = "the person at the terminal does not want to wait any longer")]
        std::process::exit(1);
    });
}

struct Asked {
    terminate: Signal,
    interrupt: Signal,
}

impl Asked {
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
