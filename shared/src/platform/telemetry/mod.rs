//! Log lines on standard output, and spans to an OpenTelemetry collector if the settings name one. docs/logging.md lists the
//! fields. Writes no table.

pub mod trace;

mod export;
mod lines;

use std::error::Error;
use std::io::IsTerminal;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::platform::settings::{Common, LogFormat};

/// The crates whose spans are exported. Those of libraries cost more than they are worth.
const OURS: [&str; 3] = ["api", "shared", "worker"];

/// The Redis client logs every node that it cannot reach, at every try: a dozen lines a second. We log once that Redis is
/// away. `RUST_LOG=info,redis=warn` turns those lines on again.
const SILENT: &str = "redis=off";

/// Keep it while the process runs, and call `stop` at the end.
#[must_use = "stop it at the end, or the last spans are lost"]
pub struct Telemetry {
    exporter: Option<SdkTracerProvider>,
}

/// Starts logging, and the export of spans if the settings name a collector. Without one, spans cost nothing.
pub fn start(settings: &Common, service: &'static str) -> Result<Telemetry, Box<dyn Error + Send + Sync>> {
    let exporter = export::start(settings, service)?;
    // Each layer has a filter of its own, so RUST_LOG does not change what is exported.
    let exported = exporter.as_ref().map(|exporter| {
        export::layer(exporter).with_filter(Targets::new().with_targets(OURS.map(|krate| (krate, LevelFilter::INFO))))
    });
    let filter =
        EnvFilter::try_new(format!("{SILENT},{}", settings.rust_log)).map_err(|error| format!("RUST_LOG: {error}"))?;
    let logged = match settings.log_format {
        LogFormat::Json => lines::Lines.boxed(),
        LogFormat::Pretty => tracing_subscriber::fmt::layer().with_ansi(std::io::stdout().is_terminal()).boxed(),
    };
    tracing_subscriber::registry().with(exported).with(logged.with_filter(filter)).try_init()?;
    Ok(Telemetry { exporter })
}

impl Telemetry {
    /// Sends the remaining spans, within `export::STOP_TIMEOUT`. Logging goes on.
    pub async fn stop(self) {
        let Some(exporter) = self.exporter else { return };
        let stopped = tokio::task::spawn_blocking(move || exporter.shutdown_with_timeout(export::STOP_TIMEOUT)).await;
        if !matches!(stopped, Ok(Ok(()))) {
            tracing::warn!("the last spans were not exported: {stopped:?}");
        }
    }
}
