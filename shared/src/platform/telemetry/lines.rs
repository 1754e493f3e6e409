//! The log as lines of JSON. Each holds the fields of its event and of all spans around it, side by side: who searches
//! for an order or a request need not know which span it was said in.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::Write;

use chrono::{SecondsFormat, Utc};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Writes the lines to standard output.
pub struct Lines;

/// What was said of a span or an event.
#[derive(Default)]
struct Fields(BTreeMap<&'static str, Value>);

impl Fields {
    /// What begins with `otel.` steers the export and is nobody else's business.
    fn set(&mut self, field: &Field, value: Value) {
        if !field.name().starts_with("otel.") {
            self.0.insert(field.name(), value);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let span = context.span(id).expect("it was made just now");
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).expect("it is recorded on, so it is there");
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            record.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(around) = span.extensions().get::<Fields>() {
                for (name, value) in &around.0 {
                    fields.0.entry(name).or_insert_with(|| value.clone());
                }
            }
        }
        let line = line(event, fields.0);
        // Nobody reads our log any more: that is no reason to stop working, and nobody can be told.
        _ = std::io::stdout().lock().write_all(line.as_bytes());
    }
}

/// When, how bad and what come first: lines are also read by people.
fn line(event: &Event<'_>, mut fields: BTreeMap<&'static str, Value>) -> String {
    let mut line = String::with_capacity(512);
    let mut say = |name: &str, value: &Value| {
        line.push(if line.is_empty() { '{' } else { ',' });
        line.push_str(&Value::from(name).to_string());
        line.push(':');
        line.push_str(&value.to_string());
    };
    say("timestamp", &Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true).into());
    say("level", &event.metadata().level().as_str().into());
    // Libraries sometimes only name their events.
    say("message", &fields.remove("message").unwrap_or_else(|| event.metadata().name().into()));
    for (name, value) in &fields {
        say(name, value);
    }
    say("target", &event.metadata().target().into());
    line.push_str("}\n");
    line
}
