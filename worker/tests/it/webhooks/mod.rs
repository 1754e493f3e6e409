//! Webhooks from an order to the receiver: real workers, real receivers that misbehave.

mod addresses;
mod failing;
mod order;
mod replay;
mod signed;

use serde_json::{Value, json};
use testkit::person::Person;
use testkit::receiver::Receiver;
use testkit::until::until_some;
use testkit::workers::{TestSystem, WEBHOOKS, WorkerProcess};

/// A worker with the settings for webhooks; these override them.
fn worker(system: &TestSystem, settings: &[(&'static str, &'static str)]) -> WorkerProcess {
    WorkerProcess::start(system, &[&WEBHOOKS[..], settings].concat())
}

/// Registers an endpoint for these types. Returns its path and its secret.
async fn endpoint(staff: &Person<'_>, url: &str, types: &[&str]) -> (String, String) {
    let made = staff.post("/v1/webhooks", json!({ "url": url, "types": types })).await.done(201);
    (made.header("location").to_owned(), made.body["secret"].as_str().unwrap().to_owned())
}

/// Waits until the endpoint is like this.
async fn endpoint_is(staff: &Person<'_>, path: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    until_some(&format!("{path}: {what}"), async || Some(staff.get(path).await.done(200).body).filter(|it| is(it)))
        .await
}

/// Waits until the delivery of this event is like this.
async fn delivery_is(staff: &Person<'_>, path: &str, event: &str, is: impl Fn(&Value) -> bool) -> Value {
    let path = format!("{path}/deliveries/{event}");
    let look = async || Some(staff.get(&path).await.body).filter(|it| it["state"].is_string() && is(it));
    until_some(&path, look).await
}

/// Waits until this endpoint got every event of these orders up to `delivered`.
async fn whole_lives(receiver: &Receiver, orders: usize) {
    let delivered = || {
        receiver
            .arrivals()
            .iter()
            .filter(|it| it.kind() == "order.delivered")
            .map(|it| it.id().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
            .len()
    };
    testkit::until::until(&format!("{orders} orders are told to their end"), async || delivered() >= orders).await;
}
