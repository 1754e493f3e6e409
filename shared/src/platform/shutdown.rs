//! When is this process asked to stop? Writes no table.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// From now on SIGTERM and Ctrl-C call `stop`, which lets what runs finish. Asked a second time, the process
/// leaves at once.
///
/// To be called before the process says that it is there: whoever hears that may ask it to stop.
pub fn when_asked(stop: impl FnOnce() + Send + 'static) {
    let mut asked = Asked {
        terminate: signal(SignalKind::terminate()).expect("the runtime handles signals"),
        interrupt: signal(SignalKind::interrupt()).expect("the runtime handles signals"),
    };
    tokio::spawn(async move {
        asked.wait().await;
        tracing::info!("asked to stop: finishing what runs");
        stop();
        asked.wait().await;
        tracing::warn!("asked again: leaving at once");
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
