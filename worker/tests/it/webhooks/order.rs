//! Order and at-least-once: retries, workers that are frozen or killed, a Redis that forgets.

use std::time::Duration;

use serde_json::json;
use testkit::database::redis_url;
use testkit::receiver::{Reaction, Receiver};
use testkit::redis_server::RedisServer;
use testkit::until::until;
use testkit::workers::TestSystem;

use super::{endpoint, whole_lives, worker};

/// A receiver that refuses every other request still gets each order's events in order.
#[tokio::test]
async fn retries_keep_the_order_of_each_subject() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[]);
    let (staff, buyer) = (system.app.staff().await, system.app.customer().await);
    let receiver = Receiver::that(|_, number| Reaction::Status(if number % 2 == 0 { 503 } else { 200 })).await;
    endpoint(&staff, &receiver.url, &["order.*"]).await;
    for _ in 0..6 {
        system.order(&buyer, "tok_ok").await;
    }
    whole_lives(&receiver, 6).await;
    receiver.assert_in_order();
}

/// One order's events fail; those of the others arrive meanwhile, and its own later ones wait.
#[tokio::test]
async fn a_subject_that_fails_holds_up_only_itself() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[("WEBHOOK_RETRY_SCALE", "0.1"), ("WEBHOOK_TIMEOUT", "10s")]);
    let (staff, buyer) = (system.app.staff().await, system.app.customer().await);
    let receiver = Receiver::start().await;
    endpoint(&staff, &receiver.url, &["order.*"]).await;
    let first = system.order(&buyer, "tok_ok").await;
    receiver.has(1).await;
    let hanging = first.rsplit('/').next().unwrap().to_owned();
    let hangs = hanging.clone();
    receiver.now(move |it, _| if it.subject() == hangs { Reaction::Hang } else { Reaction::Status(200) });
    for _ in 0..8 {
        system.order(&buyer, "tok_ok").await;
    }
    whole_lives(&receiver, 8).await;
    let of_the_first = receiver.first_arrivals().iter().filter(|(subject, _)| *subject == hanging).count();
    assert!(of_the_first <= 2, "the later events of the order that hangs wait");
    receiver.now(|_, _| Reaction::Status(200));
    whole_lives(&receiver, 9).await;
    receiver.assert_in_order();
}

/// Endpoints that hang take no place from one that answers.
#[tokio::test]
async fn a_fast_endpoint_is_not_slowed_by_those_that_hang() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = worker(&system, &[("WORKER_CONCURRENCY", "4"), ("WEBHOOK_TIMEOUT", "30s")]);
    let (staff, buyer) = (system.app.staff().await, system.app.customer().await);
    let (slow, fast) = (Receiver::that(|_, _| Reaction::Hang).await, Receiver::start().await);
    for _ in 0..5 {
        endpoint(&staff, &slow.url, &["order.*"]).await;
    }
    let (path, _) = endpoint(&staff, &fast.url, &["order.*"]).await;
    for _ in 0..8 {
        system.order(&buyer, "tok_ok").await;
    }
    slow.has(20).await;
    whole_lives(&fast, 8).await;
    fast.assert_in_order();
    let log = staff.get(&format!("{path}/deliveries?state=delivered&type=order.placed")).await.done(200);
    for delivery in log.body["data"].as_array().unwrap() {
        let time = |name: &str| chrono::DateTime::parse_from_rfc3339(delivery[name].as_str().unwrap()).unwrap();
        let waited = (time("delivered_at") - time("created_at")).to_std().unwrap_or_default();
        assert!(waited < Duration::from_secs(20), "it waited {waited:?} for others");
    }
}

/// A worker is frozen in the middle of its requests, and another worker makes them meanwhile. When the first one goes on, it
/// records nothing. A receiver that ignores ids that it knows sees the events of each order in their order.
#[tokio::test]
async fn a_worker_that_was_frozen_changes_nothing() {
    let system = TestSystem::with_webhooks(Some(redis_url())).await;
    let (staff, buyer) = (system.app.staff().await, system.app.customer().await);
    let receiver = Receiver::that(|_, _| Reaction::Late(Duration::from_millis(300))).await;
    endpoint(&staff, &receiver.url, &["order.*"]).await;
    let frozen = worker(&system, &[]);
    for _ in 0..10 {
        system.order(&buyer, "tok_ok").await;
    }
    receiver.has(5).await;
    frozen.signal("STOP").await;
    let _other = worker(&system, &[]);
    whole_lives(&receiver, 10).await;
    receiver.assert_in_order();
    frozen.signal("CONT").await;
    let all_ended = "select count(*) from webhook_deliveries where state <> 'delivered'";
    system.until_count("every delivery is recorded", all_ended, 0).await;
    for _ in 0..4 {
        system.order(&buyer, "tok_ok").await;
    }
    whole_lives(&receiver, 14).await;
    receiver.assert_in_order();
    system.until_count("every delivery is recorded", all_ended, 0).await;
    let attempts = "select count(*) from webhook_deliveries where attempts < 1 or delivered_at is null";
    assert_eq!(system.count(attempts).await, 0);
}

/// Workers are killed while they send. Nothing is lost, and duplicates have the same id and body.
#[tokio::test]
async fn killed_workers_lose_nothing() {
    let system = TestSystem::with_webhooks(Some(redis_url())).await;
    let (staff, buyer) = (system.app.staff().await, system.app.customer().await);
    let receiver = Receiver::that(|_, _| Reaction::Late(Duration::from_millis(50))).await;
    endpoint(&staff, &receiver.url, &["order.*"]).await;
    for round in 1..=3 {
        let doomed = worker(&system, &[]);
        for _ in 0..5 {
            system.order(&buyer, "tok_ok").await;
        }
        receiver.has(8 * round).await;
        doomed.kill().await;
    }
    let _last = worker(&system, &[]);
    whole_lives(&receiver, 15).await;
    receiver.assert_in_order();
    let mut bodies = std::collections::HashMap::new();
    for arrival in receiver.arrivals() {
        let first = bodies.entry(arrival.id().to_owned()).or_insert_with(|| arrival.body.clone());
        assert_eq!(*first, arrival.body);
    }
}

/// Redis forgets everything while deliveries wait for their retries.
#[tokio::test]
async fn a_flushed_redis_loses_nothing() {
    let redis = RedisServer::start().await;
    let system = TestSystem::with_webhooks(Some(redis.url())).await;
    let _worker = worker(&system, &[]);
    let (staff, buyer) = (system.app.staff().await, system.app.customer().await);
    let receiver = Receiver::that(|_, number| Reaction::Status(if number % 3 == 0 { 500 } else { 200 })).await;
    endpoint(&staff, &receiver.url, &["order.*"]).await;
    for round in 1..=4 {
        for _ in 0..3 {
            system.order(&buyer, "tok_ok").await;
        }
        receiver.has(4 * round).await;
        redis.command(&["FLUSHALL"]).await;
    }
    whole_lives(&receiver, 12).await;
    receiver.assert_in_order();
}

/// A shard whose job is gone gets another one.
#[tokio::test]
async fn a_shard_without_a_job_is_found() {
    let system = TestSystem::with_webhooks(None).await;
    let (staff, buyer) = (system.app.staff().await, system.app.customer().await);
    let receiver = Receiver::start().await;
    let (path, _) = endpoint(&staff, &receiver.url, &["order.placed"]).await;
    let worker_one = worker(&system, &[]);
    staff.post(&format!("{path}/pause"), json!({})).await.done(200);
    system.order(&buyer, "tok_ok").await;
    until("it waits", async || staff.get(&path).await.body["pending"] == 1).await;
    worker_one.kill().await;
    // As if somebody had discarded the job.
    sqlx::query("update webhook_endpoints set state = 'enabled'").execute(&system.app.db).await.unwrap();
    sqlx::query("update webhook_deliveries set next_attempt_at = now() - interval '1 minute'")
        .execute(&system.app.db)
        .await
        .unwrap();
    sqlx::query("update webhook_pumps set due_at = now() - interval '1 minute'").execute(&system.app.db).await.unwrap();
    sqlx::query("delete from jobs where kind = 'deliver_webhooks'").execute(&system.app.db).await.unwrap();
    let _worker_two = worker(&system, &[]);
    receiver.has(1).await;
}
