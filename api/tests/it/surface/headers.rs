//! Request ids, compression and headers.

use reqwest::Method;
use serde_json::json;
use testkit::app::{PASSWORD, TestApp};
use testkit::person::{Person, Reply};
use uuid::Uuid;

#[tokio::test]
async fn a_sane_request_id_is_kept_and_any_other_replaced() {
    let app = TestApp::new().await;
    let longest = "x".repeat(128);
    for sane in ["42", "a-b_c.d/e:f", longest.as_str()] {
        for path in ["/health/live", "/nowhere"] {
            let reply = app.anyone().send(Method::GET, path, None, &[("x-request-id", sane)]).await;
            assert_eq!(reply.header("x-request-id"), sane);
        }
    }
    let too_long = "x".repeat(129);
    for insane in [&b""[..], b"two words", b"tab\tbed", "Ünïcode".as_bytes(), b"\xff", too_long.as_bytes()] {
        let request = app.anyone().request(Method::GET, "/nowhere").header("x-request-id", insane);
        let reply = Reply::of(request).await;
        reply.refused(404, "not_found");
        assert!(Uuid::parse_str(reply.header("x-request-id")).is_ok(), "{insane:?} became {reply:?}");
    }
    let (one, other) = (app.anyone().get("/health/live").await, app.anyone().get("/health/live").await);
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
}

#[tokio::test]
async fn the_request_id_travels_with_the_job_that_the_request_causes() {
    let app = TestApp::new().await;
    a_mug_in_stock(&app.staff().await).await;
    let alice = app.customer().await;
    let order = json!({
        "items": [{ "sku": "mug", "quantity": 1 }], "payment_token": "tok_ok",
        "shipping_address": { "line1": "1 Mill Lane", "city": "Bath" },
    });
    let headers = [("x-request-id", "from-the-storefront-7")];
    let placed = alice.send(Method::POST, "/v1/orders", Some(order), &headers).await.done(201);
    let order_id: Uuid = placed.id().parse().unwrap();
    let (kind, request_id): (String, String) = sqlx::query_as("select kind, request_id from jobs where order_id = $1")
        .bind(order_id)
        .fetch_one(&app.db)
        .await
        .unwrap();
    assert_eq!((kind.as_str(), request_id.as_str()), ("process_payment", "from-the-storefront-7"));
}

async fn a_mug_in_stock(staff: &Person<'_>) {
    let mug = json!({ "sku": "mug", "name": "Mug", "price": { "amount": 1250, "currency": "USD" } });
    let mug = staff.post("/v1/products", mug).await.done(201);
    let main = json!({ "code": "MAIN", "name": "Main", "priority": 1, "active": true });
    let main = staff.post("/v1/warehouses", main).await.done(201);
    let stock = json!({ "product_id": mug.id(), "warehouse_id": main.id(), "on_hand": 5 });
    staff.post("/v1/inventory", stock).await.done(201);
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_ask() {
    let app = TestApp::new().await;
    let plain = app.http.get(format!("{}/openapi.json", app.url)).send().await.unwrap();
    assert_eq!(plain.headers().get("content-encoding"), None);
    let plain = plain.bytes().await.unwrap();
    for (accepted, encoding) in [("gzip", "gzip"), ("br", "br"), ("gzip;q=0.5, br", "br")] {
        let request = app.http.get(format!("{}/openapi.json", app.url)).header("accept-encoding", accepted);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-encoding"], encoding);
        assert!(response.headers()["vary"].to_str().unwrap().contains("accept-encoding"));
        let packed = response.bytes().await.unwrap();
        assert!(packed.len() * 4 < plain.len(), "{} bytes of {}", packed.len(), plain.len());
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_that_keep_browsers_out_of_trouble() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    for path in ["/v1/me", "/v1/nowhere", "/health", "/docs/", "/openapi.json"] {
        let reply = alice.get(path).await;
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(reply.header("referrer-policy"), "no-referrer", "{path}");
        let allowed = if path == "/docs/" { "default-src 'self'" } else { "default-src 'none'" };
        let policy = reply.header("content-security-policy");
        assert!(policy.starts_with(allowed) && policy.ends_with("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(reply.header("strict-transport-security"), "", "{path} was not asked for over TLS");
        assert_eq!(reply.header("server"), "", "{path}");
    }
    assert_eq!(alice.get("/v1/me").await.header("cache-control"), "no-store");
    let login = json!({ "email": alice.email, "password": PASSWORD });
    assert_eq!(alice.post("/v1/auth/login", login).await.header("cache-control"), "no-store");
}
