//! What arrives: the event, its headers, its signature.

use std::process::Stdio;

use serde_json::{Value, json};
use testkit::receiver::{Reaction, Receiver};
use testkit::until::until;
use testkit::workers::TestSystem;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{delivery_is, endpoint, endpoint_is, worker};

/// The events of an order arrive as the feed has them, and those who know the secret can verify them.
#[tokio::test]
async fn the_life_of_an_order_arrives_signed_and_in_order() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[]);
    let (staff, buyer) = (system.app.staff().await, system.app.customer().await);
    let receiver = Receiver::start().await;
    let (path, secret) = endpoint(&staff, &receiver.url, &["order.*"]).await;
    let order = system.order(&buyer, "tok_ok").await;
    system.reaches(&buyer, &order, "delivered").await;

    let arrived = receiver.has(5).await;
    receiver.assert_in_order();
    let types: Vec<String> = arrived.iter().map(testkit::receiver::Arrival::kind).collect();
    assert_eq!(types, ["order.placed", "order.processing", "order.paid", "order.shipped", "order.delivered"]);
    let feed = staff.get("/v1/events?types=order.*").await.done(200);
    for (arrival, event) in arrived.iter().zip(feed.body["data"].as_array().unwrap()) {
        let mut body = arrival.json();
        let at = body.as_object_mut().unwrap().remove("timestamp").unwrap();
        body["at"] = at;
        assert_eq!(&body, event, "the body is the event, with `timestamp` for `at`");
        assert_eq!(arrival.id(), event["id"]);
        assert_eq!(arrival.header("content-type"), "application/json");
        assert!(arrival.header("user-agent").starts_with("Millrace/"));
        assert_eq!(arrival.line, "POST /hooks HTTP/1.1");
    }
    let cases: Vec<Value> = arrived
        .iter()
        .map(|it| {
            let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| (name, it.header(name)));
            json!({ "secret": secret, "body": it.body, "headers": headers.into_iter().collect::<std::collections::HashMap<_, _>>() })
        })
        .collect();
    verified_elsewhere(&json!(cases)).await;

    let log = staff.get(&format!("{path}/deliveries?state=delivered")).await.done(200);
    assert_eq!(log.body["data"].as_array().unwrap().len(), 5);
    let newest = delivery_is(&staff, &path, arrived[4].id(), |it| it["state"] == "delivered").await;
    assert_eq!(newest["body"], arrived[4].body);
    assert_eq!(newest["history"][0]["status"], 200);
    assert_eq!(newest["history"][0]["response"], "hello");
    assert_eq!(newest["subject"]["type"], "order");
}

/// The package `standardwebhooks` for Python and the one for JavaScript accept what we signed, and refuse it with another body.
async fn verified_elsewhere(cases: &Value) {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    for (program, script) in [(".dev/tools/bin/python", "verify.py"), ("node", "verify.mjs")] {
        let program = if program.contains('/') { format!("{root}/{program}") } else { program.to_owned() };
        let mut child = Command::new(&program)
            .arg(format!("{root}/testkit/standardwebhooks/{script}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} starts ({error}); ./dev test installs it"));
        child.stdin.take().unwrap().write_all(cases.to_string().as_bytes()).await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            format!("{} verified", cases.as_array().unwrap().len())
        );
    }
}

/// While both secrets are good, both sign. A retry is signed with what is good then.
#[tokio::test]
async fn a_secret_is_rotated_between_two_attempts() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[]);
    let (staff, buyer) = (system.app.staff().await, system.app.customer().await);
    let receiver = Receiver::that(|_, _| Reaction::Status(500)).await;
    let (path, old) = endpoint(&staff, &receiver.url, &["order.placed"]).await;
    system.order(&buyer, "tok_ok").await;
    receiver.has(1).await;
    let rotated = staff.post(&format!("{path}/rotate-secret"), json!({})).await.done(200);
    let new = rotated.body["secret"].as_str().unwrap().to_owned();
    assert!(new != old && rotated.body["previous_until"].is_string());
    staff.post(&format!("{path}/rotate-secret"), json!({})).await.refused(409, "rotation_in_progress");
    receiver.now(|it, _| {
        let both_sign = it.header("webhook-signature").contains(' ');
        Reaction::Status(if both_sign { 200 } else { 500 })
    });
    endpoint_is(&staff, &path, "it has arrived", |it| it["pending"] == 0).await;
    let arrived = receiver.arrivals();
    let last = arrived.last().unwrap();
    assert_eq!(last.body, arrived[0].body, "the same bytes at each attempt");
    assert_eq!(last.header("webhook-signature").split(' ').count(), 2);
    let case = |secret: &str| {
        let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| (name, last.header(name)));
        json!({ "secret": secret, "body": last.body, "headers": headers.into_iter().collect::<std::collections::HashMap<_, _>>() })
    };
    verified_elsewhere(&json!([case(&old), case(&new)])).await;
}

/// A test goes to the endpoint that it is for, whatever its types, and to no other.
#[tokio::test]
async fn a_test_event_goes_to_its_endpoint_only() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[]);
    let staff = system.app.staff().await;
    let (one, other) = (Receiver::start().await, Receiver::start().await);
    let (path, _) = endpoint(&staff, &one.url, &["stock.low"]).await;
    let (other_path, _) = endpoint(&staff, &other.url, &["webhook.*"]).await;
    let sent = staff.post(&format!("{path}/test"), json!({})).await.done(202);
    let arrived = one.has(1).await;
    assert_eq!(arrived[0].id(), sent.body["event_id"]);
    assert_eq!((arrived[0].kind().as_str(), &arrived[0].json()["data"]), ("webhook.test", &json!({})));
    // Its own test comes after the other's in the feed, so that would have arrived by now.
    staff.post(&format!("{other_path}/test"), json!({})).await.done(202);
    assert_eq!(other.has(1).await.len(), 1);
    staff.post(&format!("{path}/pause"), json!({})).await.done(200);
    staff.post(&format!("{path}/test"), json!({})).await.refused(409, "webhook_not_enabled");
}

/// At most so many attempts in a second, however many jobs send them.
#[tokio::test]
async fn an_endpoint_is_not_sent_more_than_it_asked_for() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[]);
    let (staff, buyer) = (system.app.staff().await, system.app.customer().await);
    let receiver = Receiver::start().await;
    let asked = json!({ "url": receiver.url, "types": ["order.placed"], "max_per_second": 10 });
    let made = staff.post("/v1/webhooks", asked).await.done(201);
    let path = made.header("location").to_owned();
    staff.post(&format!("{path}/pause"), json!({})).await.done(200);
    for _ in 0..25 {
        system.order(&buyer, "tok_ok").await;
    }
    endpoint_is(&staff, &path, "all wait", |it| it["pending"] == 25).await;
    staff.post(&format!("{path}/enable"), json!({})).await.done(200);
    let arrived = receiver.has(25).await;
    let took = arrived.last().unwrap().at - arrived[0].at;
    assert!(took >= std::time::Duration::from_millis(2200), "25 at 10 a second took {took:?}");
    until("none waits", async || staff.get(&path).await.body["pending"] == 0).await;
}
