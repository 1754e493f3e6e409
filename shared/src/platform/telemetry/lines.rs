//! Writes the log as lines of JSON. Each line holds the fields of its event and of all spans around it, at one level. So a
//! search for an order or a request does not need to know which span has the field. Writes no table.

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

/// The layer that writes to standard output.
pub struct Lines;

/// The fields of a span or an event.
#[derive(Default)]
struct Fields(BTreeMap<&'static str, Value>);

impl Fields {
    /// Fields that begin with `otel.` control the export and are not logged.
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
        let span = context.span(id).expect("the span was created just now");
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).expect("the span records a value, so it exists");
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
        // If standard output is closed, the process goes on working: there is no place left to report the error.
        _ = std::io::stdout().lock().write_all(line.as_bytes());
    }
}

/// Time, level and message come first, because people read the lines too.
fn line(event: &Event<'_>, mut fields: BTreeMap<&'static str, Value>) -> String {
    let mut line = String::with_capacity(512);
    let mut write = |name: &str, value: &Value| {
        line.push(if line.is_empty() { '{' } else { ',' });
        line.push_str(&Value::from(name).to_string());
        line.push(':');
        line.push_str(&value.to_string());
    };
    write("timestamp", &Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true).into());
    write("level", &event.metadata().level().as_str().into());
    // Some libraries give an event a name and no message.
    write("message", &fields.remove("message").unwrap_or_else(|| event.metadata().name().into()));
    for (name, value) in &fields {
        write(name, value);
    }
    write("target", &event.metadata().target().into());
    line.push_str("}\n");
    line
}
