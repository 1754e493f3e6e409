//! Making, rotating and revoking keys.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::app::TestApp;
use testkit::until::until;

use super::{account, holder, make};
use crate::identity::beside;

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().expect("a time").parse().expect("RFC 3339")
}

#[tokio::test]
async fn a_key_is_shown_once_and_stored_nowhere() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let path = format!("/v1/service-accounts/{}/keys", account(&admin).await);
    let asked = json!({ "name": "prod", "scopes": ["orders:write", "inventory:read"],
        "allowed_ips": ["127.0.0.1", "10.1.2.3/8"], "limit_per_minute": 600 });
    let made = admin.post_with_key(&path, "once", asked.clone()).await.done(201);
    let key = made.body["key"].as_str().unwrap();
    assert_eq!(made.header("location"), format!("/v1/api-keys/{}", made.id()));
    assert!(key.starts_with(made.body["prefix"].as_str().unwrap()) && key.len() == 56, "{key}");
    assert!(key.starts_with("mr_test_"));
    assert_eq!(made.body["scopes"], json!(["orders:write", "inventory:read"]));
    assert_eq!(made.body["allowed_ips"], json!(["127.0.0.1", "10.0.0.0/8"]));
    assert_eq!((&made.body["state"], &made.body["limit_per_minute"]), (&json!("active"), &json!(600)));
    let lifetime = time(&made.body["expires_at"]) - time(&made.body["created_at"]);
    assert!((lifetime - TimeDelta::days(90)).num_seconds().abs() < 5, "{lifetime}");

    let again = admin.post_with_key(&path, "once", asked).await.done(201);
    assert_eq!((again.header("idempotent-replayed"), &again.body["key"]), ("true", &Value::Null));
    assert_eq!(again.id(), made.id());
    let read = admin.get(made.header("location")).await.done(200);
    assert!(read.body.get("key").is_none() && !read.header("etag").is_empty());

    let secret = &key[17..49];
    let everything: String = sqlx::query_scalar(
        "select (select string_agg(k::text, ' ') from api_keys k) || (select string_agg(encode(i.body, 'escape'), ' ')
           from idempotency_keys i) || (select string_agg(a::text, ' ') from actions a)",
    )
    .fetch_one(&app.db)
    .await
    .unwrap();
    assert!(everything.contains("mr_test_") && !everything.contains(secret));
}

#[tokio::test]
async fn wrong_wishes_are_refused_and_make_no_key() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let path = format!("/v1/service-accounts/{}/keys", account(&admin).await);
    let in_days = |days: i64| json!(Utc::now() + TimeDelta::days(days));
    for (change, code, field) in [
        (json!({ "scopes": [] }), "unknown_scope", "scopes"),
        (json!({ "scopes": ["orders:read", "users:write"] }), "unknown_scope", "scopes[1]"),
        (json!({ "expires_in_days": 0 }), "invalid_expiry", "expires_in_days"),
        (json!({ "expires_in_days": 366 }), "invalid_expiry", "expires_in_days"),
        (json!({ "expires_at": in_days(366) }), "invalid_expiry", "expires_at"),
        (json!({ "expires_at": in_days(-1) }), "invalid_expiry", "expires_at"),
        (json!({ "expires_at": in_days(1), "expires_in_days": 1 }), "invalid_expiry", "expires_at"),
        (json!({ "allowed_ips": ["localhost"] }), "invalid_address", "allowed_ips[0]"),
        (json!({ "allowed_ips": ["::1", "10.0.0.0/33"] }), "invalid_address", "allowed_ips[1]"),
        (json!({ "allowed_ips": vec!["::1"; 21] }), "invalid_address", "allowed_ips"),
        (json!({ "limit_per_minute": 0 }), "invalid_limit", "limit_per_minute"),
        (json!({ "limit_per_minute": 100_001 }), "invalid_limit", "limit_per_minute"),
        (json!({ "name": "" }), "invalid_name", "name"),
        (json!({ "key": "mine" }), "unknown_field", "key"),
    ] {
        let mut body = json!({ "name": "k", "scopes": ["orders:read"] });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let refused = admin.post(&path, body).await;
        refused.refused(422, code);
        assert_eq!(refused.body["errors"][0]["field"], field, "{change}");
    }
    assert_eq!(app.count("select count(*) from api_keys").await, 0);
}

#[tokio::test]
async fn rotation_overlaps_and_happens_once() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let asked = json!({ "name": "k", "scopes": ["ops:read"], "expires_in_days": 10, "limit_per_minute": 900 });
    let old = make(&admin, asked).await;
    let path = old.header("location");
    let new = admin.post(&format!("{path}/rotate"), json!({ "overlap_hours": 1 })).await.done(201);
    for field in ["service_account_id", "name", "scopes", "allowed_ips", "limit_per_minute"] {
        assert_eq!(new.body[field], old.body[field], "{field}");
    }
    let lifetime = time(&new.body["expires_at"]) - time(&new.body["created_at"]);
    assert!((lifetime - TimeDelta::days(10)).num_seconds().abs() < 5, "{lifetime}");

    let replaced = admin.get(path).await.done(200).body;
    assert_eq!((&replaced["state"], &replaced["replaced_by"]), (&json!("replaced"), &new.body["id"]));
    assert!(time(&replaced["expires_at"]) <= Utc::now() + TimeDelta::hours(1));
    holder(&app, &old).get("/v1/ops/queues").await.done(200);
    holder(&app, &new).get("/v1/ops/queues").await.done(200);
    admin.post(&format!("{path}/rotate"), json!({})).await.refused(409, "key_not_active");

    let path = new.header("location");
    admin.post(&format!("{path}/rotate"), json!({ "overlap_hours": 169 })).await.refused(422, "invalid_overlap");
    let newest = admin.post(&format!("{path}/rotate"), json!({ "overlap_hours": 0 })).await.done(201);
    holder(&app, &new).get("/v1/me").await.refused(401, "unauthenticated");
    assert_eq!(admin.get(path).await.body["state"], "expired");
    holder(&app, &newest).get("/v1/me").await.done(200);
}

#[tokio::test]
async fn an_overlap_never_prolongs_a_key() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let end = Utc::now() + TimeDelta::minutes(10);
    let old = make(&admin, json!({ "name": "k", "scopes": ["ops:read"], "expires_at": end })).await;
    admin.post(&format!("{}/rotate", old.header("location")), json!({})).await.done(201);
    let replaced = admin.get(old.header("location")).await.body;
    assert_eq!(replaced["expires_at"], old.body["expires_at"]);
}

#[tokio::test]
async fn a_revoked_key_is_refused_in_every_process_and_stays_revoked() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let made = make(&admin, json!({ "name": "k", "scopes": ["orders:read"] })).await;
    let path = made.header("location");
    let other = beside(&app, |settings| settings.caller_believed_for = Duration::from_millis(300)).await;
    let (here, there) = (holder(&app, &made), holder(&other, &made));
    here.get("/v1/orders").await.done(200);
    there.get("/v1/orders").await.done(200);
    admin.send(Method::DELETE, path, None, &[("if-match", "\"7\"")]).await.refused(412, "version_mismatch");
    here.get("/v1/orders").await.done(200);

    admin.delete(path).await.done(204);
    let refused = here.get("/v1/orders").await;
    refused.refused(401, "unauthenticated");
    assert!(refused.body["detail"].as_str().unwrap().contains("API key"), "{refused:#?}");
    until("the other process knows", async || there.get("/v1/orders").await.status == 401).await;
    let revoked = admin.get(path).await.body;
    admin.delete(path).await.done(204);
    assert_eq!(admin.get(path).await.body, revoked, "again changes nothing");
    admin.post(&format!("{path}/rotate"), json!({})).await.refused(409, "key_not_active");
    admin.delete("/v1/api-keys/019a4f6e-2c10-7d21-9a40-5e1f7b3c8d01").await.refused(404, "api_key_not_found");
}

#[tokio::test]
async fn keys_are_listed_by_account_and_state() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let one = make(&admin, json!({ "name": "one", "scopes": ["orders:read"] })).await;
    let two = make(&admin, json!({ "name": "two", "scopes": ["orders:read"] })).await;
    admin.delete(one.header("location")).await.done(204);
    let ids = async |query: &str| -> Vec<String> {
        let listed = admin.get(&format!("/v1/api-keys{query}")).await.done(200);
        listed.body["data"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("").await, [two.id(), one.id()]);
    assert_eq!(ids("?state=active").await, [two.id()]);
    assert_eq!(ids("?state=revoked").await, [one.id()]);
    let account = one.body["service_account_id"].as_str().unwrap();
    assert_eq!(ids(&format!("?service_account_id={account}")).await, [one.id()]);
    assert_eq!(ids(&format!("?service_account_id={account}&state=active")).await, [""; 0]);
    admin.get("/v1/api-keys?state=lost").await.refused(422, "invalid_value");
    let page = admin.get("/v1/api-keys?limit=1").await.done(200);
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let next = admin.get(&format!("/v1/api-keys?limit=1&cursor={cursor}")).await.done(200);
    assert_eq!((next.body["data"][0]["id"].as_str(), &next.body["next_cursor"]), (Some(one.id()), &Value::Null));
}

#[tokio::test]
async fn no_request_is_refused_while_a_key_is_rotated() {
    let app = TestApp::with(&["--rate-limits=off"]).await;
    let admin = app.admin().await;
    let old = make(&admin, json!({ "name": "k", "scopes": ["orders:read"] })).await;
    let robot = holder(&app, &old);
    let path = format!("{}/rotate", old.header("location"));
    let busy = async || {
        for _ in 0..50 {
            robot.get("/v1/orders").await.done(200);
        }
    };
    let rotated = async {
        let all = futures::future::join_all((0..4).map(|_| admin.post(&path, json!({})))).await;
        let (made, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(|reply| reply.status == 201);
        assert_eq!((made.len(), refused.len()), (1, 3), "once, however many ask");
        for reply in &refused {
            reply.refused(409, "key_not_active");
        }
        holder(&app, &made[0]).get("/v1/orders").await.done(200);
    };
    tokio::join!(busy(), busy(), rotated);
}
