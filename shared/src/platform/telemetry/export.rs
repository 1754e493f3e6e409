//! Sends spans to a collector, over OTLP/HTTP, from a thread of its own. If the collector is slow or away, spans are lost and
//! nothing else happens. Writes no table.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

use crate::platform::settings::Common;

/// Spans that may wait to be sent, which is a few seconds of full load. Further ones are dropped. At about 1 KiB each they take
/// at most 8 MiB.
const MAX_QUEUE: usize = 8192;
/// Spans in one request; collectors accept this with their default limits.
const BATCH: usize = 512;
/// A batch is lost if the collector does not answer within this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a process that stops waits for its last spans: less than orchestrators wait before they kill it.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Makes the exporter, if the settings name a collector.
pub fn start(settings: &Common, service: &'static str) -> Result<Option<SdkTracerProvider>, String> {
    let Some(endpoint) = &settings.otel_exporter_otlp_endpoint else { return Ok(None) };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(ANSWER_TIMEOUT)
        .build()
        .map_err(|error| format!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}"))?;
    let limits = BatchConfigBuilder::default().with_max_queue_size(MAX_QUEUE).with_max_export_batch_size(BATCH).build();
    let batches = BatchSpanProcessor::builder(exporter).with_batch_config(limits).build();
    // The caller has decided whether its trace is recorded. For a trace that starts here, the ratio decides.
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.otel_traces_sampler_arg)));
    let who = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(Some(SdkTracerProvider::builder().with_span_processor(batches).with_sampler(sampler).with_resource(who).build()))
}

/// Passes our spans to the exporter. Log lines inside a span become events of it.
pub fn layer<S>(exporter: &SdkTracerProvider) -> OpenTelemetryLayer<S, SdkTracer>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(exporter.tracer("millrace"))
        .with_context_activation(false)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
}
