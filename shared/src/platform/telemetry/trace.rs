//! The W3C trace context: which trace a request or a job belongs to, and what it continues.

use std::fmt;
use std::str::FromStr;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing::field::display;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// A `traceparent`: what travels in headers, and with jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: TraceId,
    span: SpanId,
    flags: TraceFlags,
}

/// Makes a span a part of the trace that its cause belongs to, or of a new one. Returns what the effects of this span
/// continue. The span has a field `trace_id`.
pub fn join(span: &Span, cause: Option<TraceParent>) -> TraceParent {
    if let Some(cause) = cause {
        // It fails where nothing is exported: then there is no span that could have a parent.
        _ = span.set_parent(Context::new().with_remote_span_context(cause.into()));
    }
    let exported = span.context().span().span_context().clone();
    let joined = if exported.is_valid() {
        TraceParent { trace: exported.trace_id(), span: exported.span_id(), flags: exported.trace_flags() }
    } else {
        // What we do not export we do not put between those who do.
        cause.unwrap_or_else(TraceParent::unexported)
    };
    span.record("trace_id", display(joined.trace));
    joined
}

impl TraceParent {
    /// The beginning of a trace that nobody records, but which ties lines of log together.
    fn unexported() -> Self {
        let mut bytes = [0; 24];
        getrandom::fill(&mut bytes).expect("the system has randomness");
        let (trace, span) = bytes.split_first_chunk().expect("it is longer");
        let span = span.first_chunk().expect("it is as long");
        Self { trace: TraceId::from_bytes(*trace), span: SpanId::from_bytes(*span), flags: TraceFlags::NOT_SAMPLED }
    }
}

impl FromStr for TraceParent {
    type Err = ();

    /// As <https://www.w3.org/TR/trace-context/#traceparent-header> says; a later version may add to the end.
    fn from_str(text: &str) -> Result<Self, ()> {
        let hex = |part: Option<&str>, length: usize| {
            let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            let part = part.filter(|part| part.len() == length && part.bytes().all(lower)).ok_or(())?;
            u128::from_str_radix(part, 16).map_err(drop)
        };
        let mut parts = text.split('-');
        let version = hex(parts.next(), 2)?;
        let trace = TraceId::from(hex(parts.next(), 32)?);
        let span = SpanId::from(u64::try_from(hex(parts.next(), 16)?).map_err(drop)?);
        let flags = TraceFlags::new(u8::try_from(hex(parts.next(), 2)?).map_err(drop)?) & TraceFlags::SAMPLED;
        let more = parts.next().is_some();
        let wrong = version == 0xff || (version == 0 && more);
        if wrong || trace == TraceId::INVALID || span == SpanId::INVALID {
            return Err(());
        }
        Ok(Self { trace, span, flags })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags.to_u8())
    }
}

impl From<TraceParent> for SpanContext {
    fn from(TraceParent { trace, span, flags }: TraceParent) -> Self {
        Self::new(trace, span, flags, true, TraceState::NONE)
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
            ("00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", None),
            ("00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("", None),
        ] {
            let read = text.parse::<TraceParent>().ok().map(|read| read.to_string());
            assert_eq!(read.as_deref().map(|read| &read[53..]), becomes, "{text}");
        }
        assert_ne!(TraceParent::unexported(), TraceParent::unexported());
    }
}
