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
async fn answers_are_compressed_for_clients_that_accept_gzip() {
    let app = TestApp::new().await;
    let long = "A cup. ".repeat(250);
    let product =
        json!({ "sku": "cup", "name": "Cup", "description": long, "price": { "amount": 1, "currency": "USD" } });
    app.staff().await.post("/v1/products", product).await.done(201);
    for path in ["/openapi.json", "/docs/swagger-ui-bundle.js", "/v1/products"] {
        let get = async |accepted: &'static str| {
            let request = app.http.get(format!("{}{path}", app.url)).header("accept-encoding", accepted);
            request.send().await.unwrap()
        };
        let plain = get("identity").await.bytes().await.unwrap();
        for (accepted, encoding) in [("gzip", "gzip"), ("br", ""), ("gzip;q=0.5, br", "gzip"), ("gzip;q=0", "")] {
            let response = get(accepted).await;
            let said = response.headers().get("content-encoding").map_or("", |it| it.to_str().unwrap());
            assert_eq!(said, encoding, "{path} {accepted}");
            assert_eq!(response.headers()["vary"], "accept-encoding", "{path} {accepted}");
            let body = response.bytes().await.unwrap();
            match encoding {
                "" => assert!(body == plain, "{path} {accepted}"),
                _ => assert!(body.len() * 2 < plain.len(), "{path}: {} bytes of {}", body.len(), plain.len()),
            }
        }
    }
}

#[tokio::test]
async fn a_browser_that_has_a_document_is_answered_304() {
    let app = TestApp::new().await;
    for path in ["/openapi.json", "/docs/", "/docs/swagger-ui-bundle.js", "/docs/swagger-initializer.js"] {
        let first = app.anyone().get(path).await.done(200);
        assert_eq!(first.header("cache-control"), "public, max-age=300", "{path}");
        let etag = first.header("etag").to_owned();
        for (known, status) in [(etag.as_str(), 304), ("*", 304), ("W/\"other\"", 200), ("\"\"", 200)] {
            let again = app.anyone().send(Method::GET, path, None, &[("if-none-match", known)]).await.done(status);
            assert_eq!(again.header("etag"), etag, "{path} {known}");
            assert_eq!(again.text.is_empty(), status == 304, "{path} {known}");
        }
        let several = format!("\"a\", {}", etag.trim_start_matches("W/"));
        app.anyone().send(Method::GET, path, None, &[("if-none-match", &several)]).await.done(304);
    }
}

#[tokio::test]
async fn documents_can_be_off() {
    let app = TestApp::with(&["--docs=off"]).await;
    for path in ["/openapi.json", "/docs", "/docs/", "/docs/swagger-ui-bundle.js"] {
        app.anyone().get(path).await.refused(404, "not_found");
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
