//! What a process tells about itself while it works: lines of log, and spans to a collector where one is named.
//! Writes no table. docs/logging.md has the fields.

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

/// The crates whose spans are exported. Those of libraries would cost more than they tell.
const OURS: [&str; 3] = ["api", "shared", "worker"];

/// Redis's client tells of every node that it cannot reach, at every try: a dozen lines a second. We say once that it is
/// away. `RUST_LOG=info,redis=warn` has them again.
const SILENT: &str = "redis=off";

/// To be kept while the process lives, and stopped at its end.
#[must_use = "stop it at the end, or the last spans are lost"]
pub struct Telemetry {
    exporter: Option<SdkTracerProvider>,
}

/// Starts logging to standard output, and exporting spans where the settings name a collector. Without one there
/// is nothing that could cost anything.
pub fn start(settings: &Common, service: &'static str) -> Result<Telemetry, Box<dyn Error + Send + Sync>> {
    let exporter = export::to(settings, service)?;
    // What is logged and what is exported are two questions: each layer has its own filter.
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
    /// Sends the spans that are still here, for a bounded time. Nothing is ended by this but the export.
    pub async fn stop(self) {
        let Some(exporter) = self.exporter else { return };
        let stopped = tokio::task::spawn_blocking(move || exporter.shutdown_with_timeout(export::LAST_WORDS)).await;
        if !matches!(stopped, Ok(Ok(()))) {
            tracing::warn!("the last spans were not exported: {stopped:?}");
        }
    }
}
