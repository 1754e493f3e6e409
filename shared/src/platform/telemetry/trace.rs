//! The W3C trace context: which trace a request or a job belongs to. OpenTelemetry's own propagator reads and writes the
//! headers. Writes no table.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::Span;
use tracing::field::display;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The names of the two headers.
pub const TRACE_PARENT: &str = "traceparent";
pub const TRACE_STATE: &str = "tracestate";

/// The span that a request or a job continues. Its text is a `traceparent`, which travels with jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceParent(SpanContext);

/// Makes a span part of the trace of its cause, or of a new trace. Returns what the jobs that follow from this span
/// continue. The span must have a field `trace_id`.
pub fn join(span: &Span, cause: Option<TraceParent>) -> TraceParent {
    if let Some(TraceParent(cause)) = &cause {
        // This fails if nothing is exported: then there is no OpenTelemetry span that could have a parent.
        _ = span.set_parent(Context::new().with_remote_span_context(cause.clone()));
    }
    let exported = span.context().span().span_context().clone();
    let joined = if exported.is_valid() {
        TraceParent(exported)
    } else {
        // Our own span is not exported, so what follows continues the caller's span directly.
        cause.unwrap_or_else(TraceParent::unexported)
    };
    span.record("trace_id", display(joined.0.trace_id()));
    joined
}

impl TraceParent {
    /// Reads the headers `traceparent` and `tracestate`; none if the first one is not valid.
    pub fn from_headers(trace_parent: &str, trace_state: Option<&str>) -> Option<Self> {
        let headers = [(TRACE_PARENT, Some(trace_parent)), (TRACE_STATE, trace_state)];
        let headers: HashMap<String, String> =
            headers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
        Some(context.span().span_context().clone()).filter(SpanContext::is_valid).map(Self)
    }

    /// Starts a trace that is not exported. Its id still connects the log lines of a request and its jobs.
    fn unexported() -> Self {
        let ids = RandomIdGenerator::default();
        let (trace, span) = (ids.new_trace_id(), ids.new_span_id());
        Self(SpanContext::new(trace, span, TraceFlags::NOT_SAMPLED, true, TraceState::NONE))
    }
}

impl FromStr for TraceParent {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::from_headers(text, None).ok_or(())
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut headers = HashMap::new();
        let context = Context::new().with_remote_span_context(self.0.clone());
        TraceContextPropagator::new().inject_context(&context, &mut headers);
        f.write_str(headers.get(TRACE_PARENT).map_or("", String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_the_standard_says_and_written_as_it_was_read() {
        let sane = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(sane.parse::<TraceParent>().unwrap().to_string(), sane);
        for (text, becomes) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", Some("00")),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", Some("01")), // Flags that we do not know.
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", Some("01")),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", None),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e47365-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", None),
            ("00-xbf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("", None),
        ] {
            let read = text.parse::<TraceParent>().ok().map(|read| read.to_string());
            assert_eq!(read.as_deref().map(|read| &read[53..]), becomes, "{text}");
        }
        assert_ne!(TraceParent::unexported(), TraceParent::unexported());
    }

    #[test]
    fn the_state_of_other_systems_is_kept() {
        let sane = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let TraceParent(read) = TraceParent::from_headers(sane, Some("congo=t61rcWkgMzE")).unwrap();
        assert_eq!(read.trace_state().get("congo"), Some("t61rcWkgMzE"));
        // A state that is not valid is dropped, and the rest is kept.
        assert!(TraceParent::from_headers(sane, Some("=,")).is_some());
    }
}
