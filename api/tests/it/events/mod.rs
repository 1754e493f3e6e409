//! `GET /v1/events`: what events say, pages and cursors, waiting, removal, restored dumps.

mod data;
mod kept;
mod pages;

use serde_json::Value;

/// The types of events, in their order.
fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// The ids of events, in their order.
fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["id"].as_str().unwrap()).collect()
}
