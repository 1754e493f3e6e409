//! Requests that come with a key: what is refused, what is counted, who did it.

use chrono::{TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::app::TestApp;
use testkit::person::order_of;
use testkit::until::until;

use super::{holder, make, program};

#[tokio::test]
async fn only_a_right_key_is_let_in() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let made = make(&admin, json!({ "name": "k", "scopes": ["orders:read"] })).await;
    let key = made.body["key"].as_str().unwrap().to_owned();
    holder(&app, &made).get("/v1/orders").await.done(200);

    // The secret of one key under the lookup of another: the check is right, the secret is not.
    let other = make(&admin, json!({ "name": "k", "scopes": ["orders:read"] })).await;
    let unchecked = format!("{}{}", &key[..16], &other.body["key"].as_str().unwrap()[16..49]);
    let mixed = format!("{unchecked}_{}", check(&unchecked));
    let live = format!("mr_live_{}", &key[8..49]);
    let live = format!("{live}_{}", check(&live));
    for wrong in [&key[..55], &format!("{key}0"), &key.to_lowercase(), "mr_test_", "mr_", &mixed, &live] {
        let refused = app.anyone().with(wrong).get("/v1/orders").await;
        refused.refused(401, "unauthenticated");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        app.anyone().with(wrong).get("/v1/products").await.done(200);
    }
}

/// CRC-32 in base 62, written again so that a mistake is not tested with itself.
fn check(text: &str) -> String {
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    let alphabet: Vec<char> = ('0'..='9').chain('A'..='Z').chain('a'..='z').collect();
    let (mut rest, mut digits) = (!crc as usize, String::new());
    for _ in 0..6 {
        digits.insert(0, alphabet[rest % 62]);
        rest /= 62;
    }
    digits
}

#[tokio::test]
async fn a_key_is_refused_from_the_moment_it_expires() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let end = Utc::now() + TimeDelta::seconds(4);
    let made = make(&admin, json!({ "name": "k", "scopes": ["orders:read"], "expires_at": end })).await;
    let robot = holder(&app, &made);
    robot.get("/v1/orders").await.done(200);
    // The process has cached the key for 30 s; it must refuse it all the same.
    until("it has expired", async || robot.get("/v1/orders").await.status == 401).await;
    // It may be early by the time that the query took, and never late.
    let late = (Utc::now() - end).num_milliseconds();
    assert!((-500..3000).contains(&late), "{late} ms");
    until("it says so", async || admin.get(made.header("location")).await.body["state"] == "expired").await;
}

#[tokio::test]
async fn addresses_are_those_behind_trusted_proxies() {
    let app = TestApp::with(&["--trusted-proxies=127.0.0.0/8"]).await;
    let admin = app.admin().await;
    let asked = json!({ "name": "k", "scopes": ["orders:read"], "allowed_ips": ["203.0.113.0/24", "2001:db8::1"] });
    let made = make(&admin, asked).await;
    let robot = holder(&app, &made);
    let from = async |address: &str| robot.send(Method::GET, "/v1/orders", None, &[("x-forwarded-for", address)]).await;
    from("203.0.113.9").await.done(200);
    from("2001:db8::1").await.done(200);
    from("198.51.100.1").await.refused(403, "address_not_allowed");
    from("203.0.113.9, 198.51.100.1").await.refused(403, "address_not_allowed");
    robot.get("/v1/orders").await.refused(403, "address_not_allowed");

    let untrusting = TestApp::on(&app.database_url, &[]).await;
    let forged = holder(&untrusting, &made);
    let forged = forged.send(Method::GET, "/v1/orders", None, &[("x-forwarded-for", "203.0.113.9")]).await;
    forged.refused(403, "address_not_allowed");
}

#[tokio::test]
async fn a_key_has_a_limit_of_its_own() {
    let app = TestApp::with(&["--rate-limit-read=2/1h"]).await;
    let admin = app.admin().await;
    let made = make(&admin, json!({ "name": "k", "scopes": ["ops:read", "ops:write"], "limit_per_minute": 3 })).await;
    let robot = holder(&app, &made);
    let first = robot.get("/v1/ops/queues").await.done(200);
    assert_eq!((first.header("ratelimit-limit"), first.header("ratelimit-remaining")), ("3", "2"));
    robot.post("/v1/ops/queues/low/pause", json!({})).await.done(200);
    robot.get("/v1/ops/queues").await.done(200);
    let refused = robot.get("/v1/ops/queues").await;
    refused.refused(429, "rate_limited");
    assert!(!refused.header("retry-after").is_empty());

    let usual = program(&app, &admin, &["ops:read"]).await;
    usual.get("/v1/ops/queues").await.done(200);
    usual.get("/v1/ops/queues").await.done(200);
    usual.get("/v1/ops/queues").await.refused(429, "rate_limited");

    let unlimited = TestApp::on(&app.database_url, &["--rate-limits=off"]).await;
    for _ in 0..5 {
        holder(&unlimited, &made).get("/v1/ops/queues").await.done(200);
    }
}

#[tokio::test]
async fn bad_keys_count_against_their_address() {
    let app = TestApp::with(&["--rate-limit-read=2/1h"]).await;
    let made_up = app.anyone().with("mr_test_00000000_00000000000000000000000000000000_000000");
    made_up.get("/v1/orders").await.refused(401, "unauthenticated");
    made_up.get("/v1/orders").await.refused(401, "unauthenticated");
    made_up.get("/v1/orders").await.refused(429, "rate_limited");
}

#[tokio::test]
async fn the_last_use_is_written_in_a_batch() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let made = make(&admin, json!({ "name": "k", "scopes": ["orders:read"] })).await;
    let before = admin.get(made.header("location")).await.body;
    assert_eq!((&before["last_used_at"], &before["last_used_ip"]), (&Value::Null, &Value::Null));
    holder(&app, &made).get("/v1/orders").await.done(200);
    app.state.identity.api_keys.write_uses(&app.state.db).await.unwrap();
    let after = admin.get(made.header("location")).await.body;
    assert!(after["last_used_at"].is_string());
    assert_eq!(after["last_used_ip"], "127.0.0.1");
}

#[tokio::test]
async fn what_a_key_does_bears_the_name_of_its_account() {
    let app = TestApp::new().await;
    let (admin, alice) = (app.admin().await, app.customer().await);
    app.product("mug", 1200, 5).await;
    let robot = program(&app, &admin, &["orders:write", "ops:write"]).await;
    let customer: uuid::Uuid = sqlx::query_scalar("select id from customers where user_id = $1")
        .bind(alice.id)
        .fetch_one(&app.db)
        .await
        .unwrap();

    let mut body = order_of(json!([{ "sku": "mug", "quantity": 1 }]));
    let refused = robot.post("/v1/orders", body.clone()).await;
    refused.refused(422, "missing_field");
    assert_eq!(refused.body["errors"][0]["field"], "customer_id");
    assert_eq!(app.count("select count(*) from orders").await, 0);

    body["customer_id"] = json!(customer);
    let placed = robot.post_with_key("/v1/orders", "once", body.clone()).await.done(201);
    let again = robot.post_with_key("/v1/orders", "once", body).await.done(201);
    assert_eq!((again.id(), again.header("idempotent-replayed")), (placed.id(), "true"));
    let order = format!("/v1/orders/{}", placed.id());
    let events = robot.get(&format!("{order}/events")).await.done(200);
    assert_eq!(events.body["data"][0]["data"]["by"], json!({ "id": robot.id, "name": "Robot" }));
    alice.get(&order).await.done(200);

    robot.post("/v1/ops/queues/low/pause", json!({})).await.done(200);
    let actions = robot.get("/v1/ops/actions").await.done(200);
    for action in &actions.body["data"].as_array().unwrap()[..2] {
        assert_eq!(action["by"], json!({ "id": robot.id, "name": "Robot" }), "{action}");
    }
    app.assert_books_balance().await;
}

#[tokio::test]
async fn a_key_learns_who_it_is() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let robot = program(&app, &admin, &["orders:write"]).await;
    let me = robot.get("/v1/me").await.done(200).body;
    assert_eq!((&me["id"], &me["name"], &me["kind"]), (&json!(robot.id), &json!("Robot"), &json!("service")));
    assert_eq!(me["scopes"], json!(["orders:write"]));
    assert_eq!(admin.get("/v1/me").await.body["kind"], "person");
}
