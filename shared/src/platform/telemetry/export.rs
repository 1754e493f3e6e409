//! Spans to a collector, over OTLP/HTTP. A thread of its own sends them: if the collector is slow or away, spans are
//! lost and nothing else.

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

/// Spans that wait to be sent; a few seconds of full load. One more is dropped. At about 1 KiB each, 8 MiB at most.
const WAITING: usize = 8192;
/// Sent together: what collectors take without being asked to raise their limits.
const TOGETHER: usize = 512;
/// A collector that does not answer within this has lost the batch.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A process that stops waits so long for its last spans, which is less than orchestrators wait before they kill.
pub const LAST_WORDS: Duration = Duration::from_secs(3);

/// The exporter that the settings ask for.
pub fn to(settings: &Common, service: &'static str) -> Result<Option<SdkTracerProvider>, String> {
    let Some(endpoint) = &settings.otel_exporter_otlp_endpoint else { return Ok(None) };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(ANSWER_WITHIN)
        .build()
        .map_err(|error| format!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}"))?;
    let limits =
        BatchConfigBuilder::default().with_max_queue_size(WAITING).with_max_export_batch_size(TOGETHER).build();
    let batches = BatchSpanProcessor::builder(exporter).with_batch_config(limits).build();
    // Whoever began the trace has decided; for a trace that begins here we do.
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.otel_traces_sampler_arg)));
    let who = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(Some(SdkTracerProvider::builder().with_span_processor(batches).with_sampler(sampler).with_resource(who).build()))
}

/// Turns our spans into those of the exporter. The lines of log inside them become their events.
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
