//! The timeline: every event of the order in words, newest first, and a place for notes.

use maud::{Markup, html};
use serde_json::Value;
use shared::orders::read::OrderEvent;

use super::{OrderPage, address};
use crate::reader::Reader;
use crate::ui::icon::Icon;
use crate::ui::timeline::{self, Moment};
use crate::ui::{Tone, button, form, layout, words};

pub fn timeline(reader: &Reader, shown: &OrderPage) -> Markup {
    let moments: Vec<Moment> = shown.events.iter().rev().map(moment).collect();
    let content = html! {
        @if shown.as_of.is_none() { (note_form(shown)) }
        (timeline::timeline(reader, &moments))
    };
    let beside = layout::quiet(html! { (words::count(shown.events.len() as i64, "event", "events")) ", newest first" });
    layout::section("timeline", "Timeline", beside, content)
}

fn note_form(shown: &OrderPage) -> Markup {
    let text = form::Field {
        name: "text",
        label: "Note for your colleagues",
        quiet_label: true,
        required: true,
        placeholder: Some("Write a note for your colleagues"),
        ..form::Field::default()
    };
    form::one_line(&format!("{}/notes", address(&shown.order)), shown.key, form::field(&text), button::submit(button::Weight::Plain, "Add note"))
}

fn moment(event: &OrderEvent) -> Moment {
    let (tone, sign, what) = words_of(event);
    let by = event.data.get("by").and_then(|by| by.get("name").unwrap_or(by).as_str()).map(str::to_owned);
    let words = (event.r#type == "note").then(|| text(&event.data, "text")).flatten();
    let data = has_data(&event.data).then(|| serde_json::to_string_pretty(&event.data).unwrap_or_default());
    Moment { at: event.at, tone, sign, what, by, words, data, sequence: event.sequence }
}

fn words_of(event: &OrderEvent) -> (Tone, Icon, String) {
    let data = &event.data;
    let by_hand = data.get("by_hand").and_then(Value::as_bool).unwrap_or(false);
    let kind = || text(data, "kind").map_or_else(|| "a job".to_owned(), |kind| format!("“{}”", words::job_kind(&kind)));
    match event.r#type.as_str() {
        "placed" => (Tone::Info, Icon::Orders, "Placed the order".to_owned()),
        "processing" => (Tone::Info, Icon::Card, "Began to charge the card".to_owned()),
        "paid" if by_hand => (Tone::Good, Icon::Card, "Marked as paid by hand".to_owned()),
        "paid" => (Tone::Good, Icon::Card, "The card was charged".to_owned()),
        "shipped" if by_hand => (Tone::Good, Icon::Truck, "Shipped by hand".to_owned()),
        "shipped" => (Tone::Good, Icon::Truck, "Handed to the carrier".to_owned()),
        "delivered" => (Tone::Good, Icon::Check, "Delivered".to_owned()),
        "cancelling" => (Tone::Warn, Icon::Cross, reason("Asked to cancel", data)),
        "cancelled" => (Tone::Quiet, Icon::Cross, reason("Cancelled", data)),
        "payment_failed" => (Tone::Bad, Icon::Failures, "The payment was given up".to_owned()),
        "job_retried" => (Tone::Info, Icon::Retry, format!("Retried {}", kind())),
        "job_discarded" => (Tone::Warn, Icon::Cross, format!("Gave up {}", kind())),
        "slip_printed" => (Tone::Quiet, Icon::Printer, "Printed the packing slip".to_owned()),
        "note" => (Tone::Quiet, Icon::Note, "Note".to_owned()),
        other => (Tone::Quiet, Icon::Bell, words::first_upper(&other.replace('_', " "))),
    }
}

fn reason(what: &str, data: &Value) -> String {
    match text(data, "reason").as_deref() {
        Some("payment_declined") => format!("{what}: the payment was declined"),
        Some("reservation_expired") => format!("{what}: it was not paid in time"),
        Some(said) => format!("{what}: “{said}”"),
        None => what.to_owned(),
    }
}

fn text(data: &Value, name: &str) -> Option<String> {
    data.get(name)?.as_str().map(str::to_owned)
}

/// Whether there is more to see than who did it.
fn has_data(data: &Value) -> bool {
    data.as_object().is_some_and(|fields| fields.keys().any(|name| name != "by" && name != "by_hand" && name != "text"))
}
