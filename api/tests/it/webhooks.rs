//! The routes of webhooks: what they answer, refuse, and leave unchanged. The worker's tests deliver (`worker/tests`).

use reqwest::Method;
use serde_json::{Value, json};
use testkit::app::TestApp;
use testkit::person::Person;
use testkit::workers::webhook_options;
use uuid::Uuid;

const HOOK: &str = "https://erp.example/hooks";

async fn app() -> TestApp {
    TestApp::with(&webhook_options().each_ref().map(String::as_str)).await
}

async fn made(staff: &Person<'_>) -> (String, Value) {
    let made = staff.post("/v1/webhooks", json!({ "url": HOOK, "types": ["order.*"] })).await.done(201);
    (made.header("location").to_owned(), made.body)
}

#[tokio::test]
async fn an_endpoint_is_registered_read_listed_changed_and_deleted() {
    let app = app().await;
    let staff = app.staff().await;
    let body = json!({ "url": HOOK, "types": ["order.*", "stock.low", "order.*"], "description": "The ERP", "max_per_second": 20 });
    let made = staff.post("/v1/webhooks", body).await.done(201);
    assert_eq!(made.header("location"), format!("/v1/webhooks/{}", made.id()));
    assert_eq!(made.header("etag"), "\"1\"");
    let secret = made.body["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    let path = made.header("location").to_owned();
    let mut seen = staff.get(&path).await.done(200);
    assert_eq!(seen.header("etag"), "\"1\"");
    let expected = json!({
        "id": made.id(), "url": HOOK, "types": ["order.*", "stock.low"], "description": "The ERP", "max_per_second": 20,
        "state": "enabled", "disabled_reason": null, "failing_since": null, "last_success_at": null,
        "previous_until": null, "pending": 0, "created_by": { "id": staff.id, "name": "Some One" }, "version": 1,
    });
    let times = |body: &mut Value| {
        let body = body.as_object_mut().unwrap();
        assert!(body.remove("created_at").is_some() && body.remove("updated_at").is_some());
    };
    times(&mut seen.body);
    assert_eq!(seen.body, expected, "without the secret");
    assert_eq!(staff.get("/v1/webhooks").await.done(200).body["data"].as_array().unwrap().len(), 1);

    let change = json!({ "types": ["*"], "description": null, "max_per_second": null });
    let changed = staff.patch(&path, change).await.done(200);
    assert_eq!(changed.header("etag"), "\"2\"");
    let is = |field: &str| changed.body[field].clone();
    assert_eq!(
        (is("types"), is("description"), is("max_per_second"), is("url")),
        (json!(["*"]), Value::Null, Value::Null, json!(HOOK))
    );
    let stale = [("if-match", "\"1\"")];
    staff
        .send(Method::PATCH, &path, Some(json!({ "types": ["order.paid"] })), &stale)
        .await
        .refused(412, "version_mismatch");
    staff.send(Method::DELETE, &path, None, &stale).await.refused(412, "version_mismatch");
    assert_eq!(staff.get(&path).await.done(200).body["types"], json!(["*"]));
    staff.send(Method::DELETE, &path, None, &[("if-match", "\"2\"")]).await.done(204);
    staff.get(&path).await.refused(404, "webhook_not_found");
    staff.delete(&path).await.refused(404, "webhook_not_found");
    let actions = staff.get(&format!("/v1/ops/actions?subject_id={}", made.id())).await.done(200);
    let names: Vec<&str> =
        actions.body["data"].as_array().unwrap().iter().map(|it| it["action"].as_str().unwrap()).collect();
    assert_eq!(names, ["webhook.deleted", "webhook.changed", "webhook.created"]);
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_name_and_changes_nothing() {
    let app = app().await;
    let staff = app.staff().await;
    let (path, _) = made(&staff).await;
    for (field, value, code) in [
        ("url", json!("ftp://erp.example"), "invalid_url"),
        ("url", json!("https://user@erp.example"), "invalid_url"),
        ("url", json!("nonsense"), "invalid_url"),
        ("url", json!(7), "invalid_value"),
        ("url", json!("http://erp.invalid/"), "url_not_allowed"),
        ("url", json!("https://169.254.169.254/"), "url_not_allowed"),
        ("url", json!("https://[::ffff:169.254.169.254]/"), "url_not_allowed"),
        ("url", json!("https://10.0.0.1/"), "url_not_allowed"),
        ("types", json!([]), "invalid_value"),
        ("types", json!(vec!["order.paid"; 51]), "invalid_value"),
        ("max_per_second", json!(0), "invalid_value"),
        ("colour", json!("red"), "unknown_field"),
    ] {
        let mut body = json!({ "url": HOOK, "types": ["order.*"] });
        body[field] = value.clone();
        let refused = staff.post("/v1/webhooks", body).await;
        refused.refused(422, code);
        assert_eq!(refused.body["errors"][0]["field"], field);
        staff.patch(&path, json!({ field: value })).await.refused(422, code);
    }
    let unknown = staff.post("/v1/webhooks", json!({ "url": HOOK, "types": ["order.paid", "order.eaten"] })).await;
    unknown.refused(422, "unknown_event_type");
    assert_eq!(unknown.body["errors"][0]["field"], "types[1]");
    assert_eq!(app.count("select count(*) from webhook_endpoints").await, 1);
    assert_eq!(staff.get(&path).await.done(200).body["version"], 1);
    for allowed in ["http://127.0.0.1:9/", "http://2130706433/", "https://127.0.0.1:80/", "https://1.1.1.1/"] {
        staff.patch(&path, json!({ "url": allowed })).await.done(200);
    }
}

#[tokio::test]
async fn only_staff_may_and_without_a_key_there_are_none() {
    let app = app().await;
    let (customer, staff) = (app.customer().await, app.staff().await);
    let body = json!({ "url": HOOK, "types": ["order.*"] });
    customer.post("/v1/webhooks", body.clone()).await.refused(403, "forbidden");
    app.anyone().get("/v1/webhooks").await.refused(401, "unauthenticated");
    let nobody = format!("/v1/webhooks/{}", Uuid::now_v7());
    for path in ["/pause", "/enable", "/test", "/rotate-secret"] {
        staff.post(&format!("{nobody}{path}"), json!({})).await.refused(404, "webhook_not_found");
    }
    staff.get(&format!("{nobody}/deliveries")).await.refused(404, "webhook_not_found");
    staff
        .post(&format!("{nobody}/replay"), json!({ "from": "2026-01-01T00:00:00Z" }))
        .await
        .refused(404, "webhook_not_found");
    let off = TestApp::new().await;
    off.staff().await.post("/v1/webhooks", body).await.refused(503, "webhooks_off");
}

/// The secret is derived, so a replay shows it again, and no table has it.
#[tokio::test]
async fn a_secret_is_shown_again_under_the_same_key_and_stored_nowhere() {
    let app = app().await;
    let staff = app.staff().await;
    let body = json!({ "url": HOOK, "types": ["order.*"] });
    let first = staff.post_with_key("/v1/webhooks", "one", body.clone()).await.done(201);
    let second = staff.post_with_key("/v1/webhooks", "one", body).await.done(201);
    assert_eq!(first.body, second.body);
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!((first.header("location"), first.header("etag")), (second.header("location"), second.header("etag")));
    let rotate = format!("{}/rotate-secret", first.header("location"));
    let rotated = staff.post_with_key(&rotate, "two", json!({ "overlap_hours": 1 })).await.done(200);
    assert_ne!(rotated.body["secret"], first.body["secret"]);
    assert!(rotated.body["previous_until"].is_string());
    assert_eq!(staff.post_with_key(&rotate, "two", json!({ "overlap_hours": 1 })).await.done(200).body, rotated.body);
    staff.post(&rotate, json!({})).await.refused(409, "rotation_in_progress");
    let seen = staff.get(first.header("location")).await.done(200);
    assert_eq!(seen.body["previous_until"], rotated.body["previous_until"]);
    for table in ["idempotency_keys", "webhook_endpoints", "actions"] {
        let dump = sqlx::AssertSqlSafe(format!("select coalesce(string_agg(t::text, ''), '') from {table} t"));
        let dump: String = sqlx::query_scalar(dump).fetch_one(&app.db).await.unwrap();
        assert!(!dump.contains("whsec_") && !dump.contains(&hex("whsec_")), "{table} holds a secret");
    }
    let (path, made) = made(&staff).await;
    let rotate = format!("{path}/rotate-secret");
    staff.post(&rotate, json!({ "overlap_hours": 169 })).await.refused(422, "invalid_value");
    let at_once = staff.post(&rotate, json!({ "overlap_hours": 0 })).await.done(200);
    assert_eq!(at_once.body["previous_until"], Value::Null);
    assert_ne!(at_once.body["secret"], made["secret"]);
    staff.post(&rotate, json!({ "overlap_hours": 0 })).await.done(200);
}

/// As Postgres writes the bytes of a text.
fn hex(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

#[tokio::test]
async fn there_are_at_most_fifty() {
    let app = app().await;
    let staff = app.staff().await;
    let results = futures::future::join_all(
        (0..55).map(|_| async { staff.post("/v1/webhooks", json!({ "url": HOOK, "types": ["order.*"] })).await }),
    )
    .await;
    let refused: Vec<_> = results.iter().filter(|reply| reply.status != 201).collect();
    assert_eq!(refused.len(), 5);
    for reply in refused {
        reply.refused(409, "too_many_webhooks");
    }
    let listed = staff.get("/v1/webhooks?limit=30").await.done(200);
    let next = listed.body["next_cursor"].as_str().unwrap();
    let rest = staff.get(&format!("/v1/webhooks?limit=30&cursor={next}")).await.done(200);
    assert_eq!((rest.body["data"].as_array().unwrap().len(), &rest.body["next_cursor"]), (20, &Value::Null));
}

#[tokio::test]
async fn the_catalogue_has_a_schema_for_each_type() {
    let app = app().await;
    let listed = app.staff().await.get("/v1/webhooks/event-types").await.done(200);
    assert_eq!(listed.body["next_cursor"], Value::Null);
    let types = listed.body["data"].as_array().unwrap();
    let placed = types.iter().find(|it| it["type"] == "order.placed").unwrap();
    assert_eq!(placed["subject"], "order");
    assert!(placed["description"].as_str().unwrap().len() > 10);
    assert_eq!(placed["schema"]["properties"]["number"]["type"], "string");
    assert!(types.iter().any(|it| it["type"] == "webhook.disabled"));
}

#[tokio::test]
async fn replays_and_logs_refuse_what_makes_no_sense() {
    let app = app().await;
    let staff = app.staff().await;
    let (path, _) = made(&staff).await;
    let replay = format!("{path}/replay");
    for (body, code) in [
        (json!({}), "missing_field"),
        (json!({ "after": "nonsense" }), "invalid_cursor"),
        (json!({ "after": "now", "from": "2026-01-01T00:00:00Z" }), "invalid_value"),
        (json!({ "from": "yesterday" }), "invalid_value"),
        (json!({ "from": "2026-01-01T00:00:00Z", "types": ["x"] }), "unknown_event_type"),
        (json!({ "from": "2026-01-01T00:00:00Z", "only": "some" }), "invalid_value"),
    ] {
        staff.post(&replay, body).await.refused(422, code);
    }
    assert_eq!(
        staff.post(&replay, json!({ "after": "now", "dry_run": true })).await.done(200).body,
        json!({ "count": 0 })
    );
    let log = format!("{path}/deliveries");
    assert_eq!(staff.get(&log).await.done(200).body, json!({ "data": [], "next_cursor": null }));
    staff.get(&format!("{log}?state=lost")).await.refused(422, "invalid_value");
    staff.get(&format!("{log}?colour=red")).await.refused(422, "unknown_field");
    for event in ["nonsense".to_owned(), format!("evt_{}_1", Uuid::now_v7())] {
        staff.get(&format!("{log}/{event}")).await.refused(404, "delivery_not_found");
        staff.post(&format!("{log}/{event}/redeliver"), json!({})).await.refused(404, "delivery_not_found");
    }
}
