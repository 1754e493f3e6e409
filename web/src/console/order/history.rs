//! The timeline: every event of the order in words, newest first, and a place for notes.

use maud::{Markup, html};
use serde_json::Value;
use shared::orders::read::OrderEvent;

use super::shown::{OrderPage, address};
use crate::reader::Reader;
use crate::ui::icon::Icon;
use crate::ui::timeline::{self, Moment};
use crate::ui::{Tone, button, form, layout, words};

pub fn timeline(reader: &Reader, shown: &OrderPage) -> Markup {
    let moments: Vec<Moment> = shown.events.iter().rev().map(moment).collect();
    let content = html! {
        @if shown.takes_notes && shown.as_of.is_none() { (note_form(shown)) }
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
    form::one_line(
        &format!("{}/notes", address(&shown.order)),
        shown.key,
        form::field(&text),
        button::submit(button::Weight::Plain, "Add note"),
    )
}

fn moment(event: &OrderEvent) -> Moment {
    let by = event.data.get("by").and_then(|by| by.get("name").unwrap_or(by).as_str()).map(str::to_owned);
    let (tone, sign, active, passive) = words_of(event);
    let what = if by.is_some() { active } else { passive };
    let words = (event.r#type == "note").then(|| text(&event.data, "text")).flatten();
    let data = has_data(&event.data).then(|| serde_json::to_string_pretty(&event.data).unwrap_or_default());
    Moment { at: event.at, tone, sign, what, by, words, data, sequence: event.sequence }
}

/// The event in words: after the name of who did it, and without one.
fn words_of(event: &OrderEvent) -> (Tone, Icon, String, String) {
    let data = &event.data;
    let by_hand = data.get("by_hand").and_then(Value::as_bool).unwrap_or(false);
    let job = text(data, "kind").map_or_else(|| "a job".to_owned(), |kind| format!("“{}”", words::job_kind(&kind)));
    let why = reason(data);
    let fixed = |tone, sign, active: &str, passive: &str| (tone, sign, active.to_owned(), passive.to_owned());
    match event.r#type.as_str() {
        "placed" => fixed(Tone::Info, Icon::Orders, "placed the order", "The order was placed"),
        "processing" => fixed(Tone::Info, Icon::Card, "began to charge the card", "The card is being charged"),
        "paid" if by_hand => fixed(Tone::Good, Icon::Card, "marked it as paid", "Marked as paid by hand"),
        "paid" => fixed(Tone::Good, Icon::Card, "charged the card", "The card was charged"),
        "shipped" if by_hand => fixed(Tone::Good, Icon::Truck, "shipped it by hand", "Shipped by hand"),
        "shipped" => fixed(Tone::Good, Icon::Truck, "handed it to the carrier", "Handed to the carrier"),
        "delivered" => fixed(Tone::Good, Icon::Check, "marked it as delivered", "Delivered"),
        "cancelling" => (Tone::Warn, Icon::Cross, format!("cancelled it{why}"), format!("Being cancelled{why}")),
        "cancelled" => (Tone::Quiet, Icon::Cross, format!("cancelled it{why}"), format!("Cancelled{why}")),
        "job_retried" => (Tone::Info, Icon::Retry, format!("retried {job}"), format!("{job} was retried")),
        "job_discarded" => (Tone::Warn, Icon::Cross, format!("gave up {job}"), format!("{job} was given up")),
        "slip_printed" => fixed(Tone::Quiet, Icon::Printer, "printed the packing slip", "The packing slip was printed"),
        "note" => fixed(Tone::Quiet, Icon::Note, "wrote", "Note"),
        other => {
            let words = other.replace('_', " ");
            (Tone::Quiet, Icon::Bell, format!("caused: {words}"), words::first_upper(&words))
        }
    }
}

fn reason(data: &Value) -> String {
    match text(data, "reason").as_deref() {
        Some("payment_declined") => ": the payment was declined".to_owned(),
        Some("reservation_expired") => ": it was not paid in time".to_owned(),
        Some(said) => format!(": “{said}”"),
        None => String::new(),
    }
}

fn text(data: &Value, name: &str) -> Option<String> {
    data.get(name)?.as_str().map(str::to_owned)
}

/// Whether there is more to see than who did it.
fn has_data(data: &Value) -> bool {
    data.as_object().is_some_and(|fields| fields.keys().any(|name| name != "by" && name != "by_hand" && name != "text"))
}
