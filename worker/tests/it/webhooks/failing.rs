//! Receivers that err, hang, redirect, drip, close, or are gone: the schedule, the log, the probes, and the end.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::receiver::{Reaction, Receiver};
use testkit::until::until;
use testkit::workers::TestSystem;

use super::{delivery_is, endpoint, endpoint_is, worker};

/// Every way to fail is in the log under its name, and each delivery ends well afterwards.
#[tokio::test]
async fn every_failure_has_its_name_in_the_log() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[("WEBHOOK_TIMEOUT", "500ms")]);
    let staff = system.app.staff().await;
    let elsewhere = Receiver::start().await;
    for (reaction, status, error) in [
        (Reaction::Status(500), json!(500), "status"),
        (Reaction::Status(404), json!(404), "status"),
        (Reaction::Redirect(elsewhere.url.clone()), json!(302), "status"),
        (Reaction::Hang, Value::Null, "timeout"),
        (Reaction::Drip, Value::Null, "timeout"),
        (Reaction::Close, Value::Null, "connection"),
    ] {
        let fails = reaction.clone();
        let receiver =
            Receiver::that(move |_, number| if number == 0 { fails.clone() } else { Reaction::Status(204) }).await;
        let (path, _) = endpoint(&staff, &receiver.url, &["order.*"]).await;
        let sent = staff.post(&format!("{path}/test"), json!({})).await.done(202);
        let event = sent.body["event_id"].as_str().unwrap();
        let delivery = delivery_is(&staff, &path, event, |it| it["state"] == "delivered").await;
        let history = delivery["history"].as_array().unwrap();
        assert_eq!((&history[0]["status"], &history[0]["error"]), (&status, &json!(error)), "{reaction:?}");
        assert_eq!((&history[1]["status"], &history[1]["error"]), (&json!(204), &Value::Null), "{reaction:?}");
        assert_eq!((history.len(), &delivery["attempts"]), (2, &json!(2)));
    }
    assert!(elsewhere.arrivals().is_empty(), "a redirect is not followed");
}

/// The head of the answer decides. A body that never ends does not make a failure of a success.
#[tokio::test]
async fn a_success_is_decided_when_its_headers_are_there() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[("WEBHOOK_TIMEOUT", "500ms")]);
    let staff = system.app.staff().await;
    let receiver = Receiver::that(|_, _| Reaction::EndlessBody).await;
    let (path, _) = endpoint(&staff, &receiver.url, &["order.*"]).await;
    let sent = staff.post(&format!("{path}/test"), json!({})).await.done(202);
    let delivery =
        delivery_is(&staff, &path, sent.body["event_id"].as_str().unwrap(), |it| it["state"] != "pending").await;
    assert_eq!((&delivery["state"], &delivery["history"][0]["status"]), (&json!("delivered"), &json!(200)));
}

/// Ten attempts, and then `failed`. The event after it goes on its way.
#[tokio::test]
async fn a_delivery_is_given_up_after_ten_attempts() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[("WEBHOOK_RETRY_SCALE", "0.00001")]);
    let staff = system.app.staff().await;
    let receiver = Receiver::start().await;
    let (path, _) = endpoint(&staff, &receiver.url, &["webhook.test"]).await;
    // Nothing else succeeds or fails, so the fifth failure begins the probes; only attempts count against the ten. A second
    // endpoint's events would not help. So the receiver lets each second request of another subject pass.
    receiver.now(|it, _| Reaction::Status(if it.kind() == "order.placed" { 200 } else { 500 }));
    staff.patch(&path, json!({ "types": ["order.placed"] })).await.done(200);
    let sent = staff.post(&format!("{path}/test"), json!({})).await.done(202);
    let event = sent.body["event_id"].as_str().unwrap().to_owned();
    let buyer = system.app.customer().await;
    let delivery = loop {
        system.order(&buyer, "tok_ok").await;
        let delivery = staff.get(&format!("{path}/deliveries/{event}")).await.body;
        if delivery["state"] == "failed" {
            break delivery;
        }
        assert!(receiver.arrivals().len() < 500, "{delivery}");
    };
    assert!(delivery["attempts"].as_i64().unwrap() >= 10, "{delivery}");
    let next = staff.post(&format!("{path}/test"), json!({})).await.done(202);
    receiver.now(|_, _| Reaction::Status(200));
    delivery_is(&staff, &path, next.body["event_id"].as_str().unwrap(), |it| it["state"] == "delivered").await;
    let again = staff.post(&format!("{path}/deliveries/{event}/redeliver"), json!({})).await.done(202);
    assert_eq!(again.body["state"], "pending");
    delivery_is(&staff, &path, &event, |it| it["state"] == "delivered").await;
    let same: Vec<String> =
        receiver.arrivals().iter().filter(|it| it.id() == event).map(|it| it.body.clone()).collect();
    assert!(same.iter().all(|body| *body == same[0]), "the same body, also when it is sent again by hand");
}

/// After five failures in a row it is probed, one at a time, each subject in turn; a success opens it.
#[tokio::test]
async fn a_failing_endpoint_is_probed_and_a_success_opens_it() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[]);
    let (staff, buyer) = (system.app.staff().await, system.app.customer().await);
    let receiver = Receiver::that(|_, _| Reaction::Status(500)).await;
    let (path, _) = endpoint(&staff, &receiver.url, &["order.placed"]).await;
    for _ in 0..4 {
        system.order(&buyer, "tok_ok").await;
    }
    let failing = endpoint_is(&staff, &path, "it is failing", |it| it["failing_since"].is_string()).await;
    assert_eq!((&failing["state"], &failing["pending"]), (&json!("enabled"), &json!(4)));
    let before = receiver.arrivals().len();
    receiver.has(before + 4).await;
    receiver.now(|_, _| Reaction::Status(200));
    let opened = endpoint_is(&staff, &path, "all has arrived", |it| it["pending"] == 0).await;
    assert_eq!(opened["failing_since"], Value::Null);
    assert!(opened["last_success_at"].is_string());
}

/// 410 means that nobody is there: it is disabled at once, its events are held, and others are told.
#[tokio::test]
async fn a_receiver_that_is_gone_is_disabled_at_once() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[]);
    let staff = system.app.staff().await;
    let (receiver, monitor) = (Receiver::that(|_, _| Reaction::Status(410)).await, Receiver::start().await);
    let (path, _) = endpoint(&staff, &receiver.url, &["order.*"]).await;
    endpoint(&staff, &monitor.url, &["webhook.disabled"]).await;
    let sent = staff.post(&format!("{path}/test"), json!({})).await.done(202);
    let disabled = endpoint_is(&staff, &path, "it is disabled", |it| it["state"] == "disabled").await;
    assert_eq!((&disabled["disabled_reason"], &disabled["pending"]), (&json!("gone"), &json!(1)));
    let held = staff.get(&format!("{path}/deliveries?state=held")).await.done(200);
    assert_eq!(held.body["data"][0]["event_id"], sent.body["event_id"]);
    let told = monitor.has(1).await;
    assert_eq!(told[0].kind(), "webhook.disabled");
    assert_eq!(told[0].json()["data"], json!({ "reason": "gone", "failing_since": null }));
    staff.post(&format!("{path}/pause"), json!({})).await.refused(409, "webhook_disabled");
    receiver.now(|_, _| Reaction::Status(200));
    let enabled = staff.post(&format!("{path}/enable"), json!({})).await.done(200);
    assert_eq!((&enabled.body["state"], &enabled.body["disabled_reason"]), (&json!("enabled"), &Value::Null));
    delivery_is(&staff, &path, sent.body["event_id"].as_str().unwrap(), |it| it["state"] == "delivered").await;
}

/// Three days without a success, and ten probes.
#[tokio::test]
async fn an_endpoint_that_never_recovers_is_disabled() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[("WEBHOOK_RETRY_SCALE", "0.00001")]);
    let staff = system.app.staff().await;
    let receiver = Receiver::that(|_, _| Reaction::Status(500)).await;
    let (path, _) = endpoint(&staff, &receiver.url, &["order.*"]).await;
    for _ in 0..3 {
        staff.post(&format!("{path}/test"), json!({})).await.done(202);
    }
    let disabled = endpoint_is(&staff, &path, "it is disabled", |it| it["state"] == "disabled").await;
    assert_eq!((&disabled["disabled_reason"], &disabled["pending"]), (&json!("failing"), &json!(3)));
    assert!(receiver.arrivals().len() >= 15, "five failures and ten probes");
}

/// `Retry-After` puts the next attempt off.
#[tokio::test]
async fn a_receiver_says_when_to_come_again() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[("WEBHOOK_RETRY_SCALE", "0.01")]);
    let staff = system.app.staff().await;
    let react = |_: &testkit::receiver::Arrival, number| match number {
        0 => Reaction::RetryAfter(503, "120".to_owned()),
        _ => Reaction::Status(200),
    };
    let receiver = Receiver::that(react).await;
    let (path, _) = endpoint(&staff, &receiver.url, &["order.*"]).await;
    staff.post(&format!("{path}/test"), json!({})).await.done(202);
    let arrived = receiver.has(2).await;
    let waited = arrived[1].at - arrived[0].at;
    assert!(waited >= Duration::from_millis(1150), "120 s, scaled, are 1.2 s; it waited {waited:?}");
    until("none waits", async || staff.get(&path).await.body["pending"] == 0).await;
}
