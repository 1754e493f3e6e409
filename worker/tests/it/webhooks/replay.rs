//! Pausing, enabling, and sending many again.

use serde_json::json;
use testkit::receiver::{Reaction, Receiver};
use testkit::until::until;
use testkit::workers::TestSystem;

use super::{endpoint, endpoint_is, whole_lives, worker};

/// What happens during a pause gathers, and goes out in order.
#[tokio::test]
async fn what_gathers_during_a_pause_goes_out_in_order() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[]);
    let (staff, buyer) = (system.app.staff().await, system.app.customer().await);
    let receiver = Receiver::start().await;
    let (path, _) = endpoint(&staff, &receiver.url, &["order.*"]).await;
    for _ in 0..2 {
        assert_eq!(staff.post(&format!("{path}/pause"), json!({})).await.done(200).body["state"], "paused");
    }
    let order = system.order(&buyer, "tok_ok").await;
    system.reaches(&buyer, &order, "delivered").await;
    endpoint_is(&staff, &path, "all gathers", |it| it["pending"] == 5).await;
    let held = staff.get(&format!("{path}/deliveries?state=held")).await.done(200);
    assert_eq!(held.body["data"].as_array().unwrap().len(), 5);
    let event = held.body["data"][0]["event_id"].as_str().unwrap();
    staff.post(&format!("{path}/deliveries/{event}/redeliver"), json!({})).await.refused(409, "delivery_pending");
    assert!(staff.get(&format!("{path}/deliveries?state=pending")).await.body["data"].as_array().unwrap().is_empty());
    assert!(receiver.arrivals().is_empty());
    for _ in 0..2 {
        assert_eq!(staff.post(&format!("{path}/enable"), json!({})).await.done(200).body["state"], "enabled");
    }
    whole_lives(&receiver, 1).await;
    receiver.assert_in_order();
}

/// A new endpoint gets what happened before it was made, if asked to, and what it has already, again.
#[tokio::test]
async fn everything_since_a_cursor_is_sent_again() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[]);
    let (staff, buyer) = (system.app.staff().await, system.app.customer().await);
    let begin = staff.get("/v1/events?after=now").await.done(200).body["next_cursor"].as_str().unwrap().to_owned();
    let order = system.order(&buyer, "tok_ok").await;
    system.reaches(&buyer, &order, "delivered").await;
    until("all is in the feed", async || {
        staff.get(&format!("/v1/events?after={begin}&types=order.*")).await.body["data"].as_array().unwrap().len() == 5
    })
    .await;
    let receiver = Receiver::start().await;
    let (path, _) = endpoint(&staff, &receiver.url, &["order.*"]).await;
    let replay = format!("{path}/replay");
    let counted = staff.post(&replay, json!({ "after": begin, "only": "all", "dry_run": true })).await.done(200);
    assert_eq!(counted.body, json!({ "count": 5 }));
    assert_eq!(
        staff.post(&replay, json!({ "after": begin })).await.done(202).body,
        json!({ "count": 0 }),
        "none failed"
    );
    let two = json!({ "after": begin, "only": "all", "types": ["order.placed", "order.paid", "stock.low"] });
    assert_eq!(staff.post(&replay, two).await.done(202).body, json!({ "count": 2 }));
    receiver.has(2).await;
    until("none waits", async || staff.get(&path).await.body["pending"] == 0).await;
    assert_eq!(staff.post(&replay, json!({ "after": begin, "only": "all" })).await.done(202).body["count"], 5);
    receiver.has(7).await;
    until("none waits", async || staff.get(&path).await.body["pending"] == 0).await;
    let ids: std::collections::BTreeSet<String> = receiver.arrivals().iter().map(|it| it.id().to_owned()).collect();
    assert_eq!(ids.len(), 5);
}

/// What failed since a time.
#[tokio::test]
async fn what_failed_since_a_time_is_sent_again() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[]);
    let (staff, buyer) = (system.app.staff().await, system.app.customer().await);
    let receiver = Receiver::that(|_, _| Reaction::Status(200)).await;
    let (path, _) = endpoint(&staff, &receiver.url, &["order.placed"]).await;
    let before = chrono::Utc::now();
    for _ in 0..3 {
        system.order(&buyer, "tok_ok").await;
    }
    receiver.has(3).await;
    until("none waits", async || staff.get(&path).await.body["pending"] == 0).await;
    sqlx::query("update webhook_deliveries set state = 'failed', delivered_at = null where position = (select min(position) from webhook_deliveries)")
        .execute(&system.app.db)
        .await
        .unwrap();
    let replay = format!("{path}/replay");
    let from = |time: chrono::DateTime<chrono::Utc>| json!({ "from": time, "dry_run": true });
    assert_eq!(staff.post(&replay, from(before)).await.done(200).body["count"], 1);
    assert_eq!(staff.post(&replay, from(chrono::Utc::now())).await.done(200).body["count"], 0);
    let ended = json!({ "from": before, "to": before, "dry_run": true });
    assert_eq!(staff.post(&replay, ended).await.done(200).body["count"], 0);
    assert_eq!(staff.post(&replay, json!({ "from": before })).await.done(202).body["count"], 1);
    let arrived = receiver.has(4).await;
    assert_eq!(arrived[3].body, arrived.iter().find(|it| it.id() == arrived[3].id()).unwrap().body);
}
