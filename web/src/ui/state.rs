//! What a list says when it has no rows to show, or cannot.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::icon::{Icon, icon};
use super::time;
use crate::reader::Reader;

/// Nothing is there. `step` is the first thing to do about it.
pub fn empty(sign: Icon, sentence: &str, hint: &str, step: Markup) -> Markup {
    html! {
        div class="state" {
            (icon(sign))
            p class="sentence" { (sentence) }
            @if !hint.is_empty() { p { (hint) } }
            (step)
        }
    }
}

/// The filter lets nothing through.
pub fn no_match(what: &str, clear: &str) -> Markup {
    html! {
        div class="state" {
            (icon(Icon::Filter))
            p class="sentence" { "No " (what) " match this filter." }
            a class="button" href=(clear) { "Clear the filter" }
        }
    }
}

/// It could not be read. The request id leads to the log line.
pub fn failed(sentence: &str, request_id: &str, again: &str) -> Markup {
    html! {
        div class="state" role="alert" {
            (icon(Icon::Failures))
            p class="sentence" { (sentence) }
            p { "Request " code { (request_id) } }
            a class="button" href=(again) { "Try again" }
        }
    }
}

/// What is shown is older than it should be.
pub fn stale(reader: &Reader, since: DateTime<Utc>, why: &str) -> Markup {
    html! {
        p class="stale" role="status" {
            (icon(Icon::Clock))
            span { "As of " (time::exact(reader, since)) ", " (time::ago(reader, since)) ": " (why) "." }
        }
    }
}
