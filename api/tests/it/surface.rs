//! What every request passes and every answer has.

use std::net::SocketAddr;
use std::time::Duration;

use api::surface::REQUEST_TIMEOUT;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{get, post};
use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;
use uuid::Uuid;

use crate::support::{PASSWORD, Person, Reply, TestApp, new_database, settings, until};

const TWO_MIB: usize = 2 * 1024 * 1024;

// ---- errors ----------------------------------------------------------------------------------

#[tokio::test]
async fn unknown_routes_and_methods_are_refused_in_the_one_form() {
    let app = TestApp::new().await;
    for path in ["/", "/nowhere", "/v1", "/v1/nowhere", "/v1/orders/", "/docs/nothing.js", "/v1/orders/not-an-id/x"] {
        app.anyone().get(path).await.refused(404, "not_found");
    }
    let refused = app.anyone().send(Method::DELETE, "/health", None, &[]).await;
    refused.refused(405, "method_not_allowed");
    assert_eq!(refused.header("allow"), "GET,HEAD");
    app.anyone().put("/v1/orders", json!({})).await.refused(405, "method_not_allowed");
    let brewing = Method::from_bytes(b"BREW").unwrap();
    app.anyone().send(brewing, "/v1/orders", None, &[]).await.refused(405, "method_not_allowed");
    let head = app.anyone().send(Method::HEAD, "/nowhere", None, &[]).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (404, ""));
}

#[tokio::test]
async fn a_body_that_cannot_be_meant_is_refused_in_the_one_form_and_changes_nothing() {
    const JSON: &str = "application/json";
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let (deep, large) = ("[".repeat(5000), vec![b' '; TWO_MIB]);
    let deep_field = format!(r#"{{"name": {deep}"#);
    for (kind, body, status, code) in [
        (JSON, &b"{"[..], 400, "invalid_json"),
        (JSON, b"not json", 400, "invalid_json"),
        (JSON, b"\xff\xfe{}", 400, "invalid_json"),
        (JSON, b"{\"email\": \"\xc3\x28\"}", 400, "invalid_json"),
        (JSON, deep.as_bytes(), 400, "invalid_json"),
        (JSON, deep_field.as_bytes(), 422, "invalid_value"),
        (JSON, &large, 413, "body_too_large"),
        (JSON, b"", 422, "missing_field"),
        (JSON, b"[]", 422, "invalid_body"),
        (JSON, b"7", 422, "invalid_body"),
        (JSON, br#"{"nickname": "Al"}"#, 422, "unknown_field"),
        (JSON, br#"{"email": "a@example.com", "email": "b@example.com"}"#, 422, "duplicate_field"),
        (JSON, br#"{"email": 3}"#, 422, "invalid_value"),
        (JSON, br#"{"email": "a\u0000@example.com"}"#, 422, "invalid_text"),
        (JSON, br#"{"items": 1e999}"#, 422, "unknown_field"),
        ("text/plain", b"{}", 415, "unsupported_media_type"),
        ("application/x-www-form-urlencoded", b"email=a", 415, "unsupported_media_type"),
        ("", b"{}", 415, "unsupported_media_type"),
    ] {
        let mut request = app.anyone().request(Method::POST, "/v1/auth/register").body(body.to_vec());
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        let reply = Reply::of(request).await;
        reply.refused_as_form();
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
        let named = reply.body["errors"][0]["code"].as_str().unwrap_or(reply.code());
        assert_eq!((reply.status.as_u16(), named), (status, code), "{kind} {shown}: {reply:#?}");
    }
    let large = json!({ "items": [], "payment_token": "x".repeat(TWO_MIB), "shipping_address": {} });
    alice.post("/v1/orders", large).await.refused(413, "body_too_large");
    let users: i64 = sqlx::query_scalar("select count(*) from users").fetch_one(&app.db).await.unwrap();
    let orders: i64 = sqlx::query_scalar("select count(*) from orders").fetch_one(&app.db).await.unwrap();
    assert_eq!((users, orders), (1, 0), "only Alice is there");
}

/// Without hearing it out, the client's next write fails on a closed connection and it never reads our answer.
#[tokio::test]
async fn a_client_that_sends_a_large_body_to_nobody_reads_why_it_is_refused() {
    let app = TestApp::new().await;
    for (method, path, kind, status, code) in [
        (Method::POST, "/nowhere", "application/json", 404, "not_found"),
        (Method::PUT, "/v1/orders", "application/json", 405, "method_not_allowed"),
        (Method::POST, "/v1/orders", "application/json", 401, "unauthenticated"),
        (Method::POST, "/v1/auth/login", "text/plain", 415, "unsupported_media_type"),
        (Method::POST, "/v1/auth/login", "application/json", 413, "body_too_large"),
    ] {
        for attempt in ["with its length", "in chunks"] {
            let body = vec![b' '; 4 * TWO_MIB];
            let body = match attempt {
                "in chunks" => {
                    let chunks: Vec<Result<Vec<u8>, std::io::Error>> =
                        body.chunks(65_536).map(|chunk| Ok(chunk.to_vec())).collect();
                    reqwest::Body::wrap_stream(futures::stream::iter(chunks))
                }
                _ => body.into(),
            };
            let request = app.anyone().request(method.clone(), path).header("content-type", kind).body(body);
            Reply::of(request).await.refused(status, code);
        }
    }
}

#[tokio::test]
async fn a_query_that_cannot_be_meant_is_refused_in_the_one_form() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    for (query, code, field) in [
        ("limit=501", "invalid_limit", "limit"),
        ("limit=0", "invalid_limit", "limit"),
        ("limit=-1", "invalid_limit", "limit"),
        ("limit=99999999999999999999", "invalid_limit", "limit"),
        ("limit=ten", "invalid_limit", "limit"),
        ("cursor=nonsense", "invalid_cursor", "cursor"),
        ("stauts=paid", "unknown_field", "stauts"),
        ("status=lost", "invalid_value", "status"),
        ("from=yesterday", "invalid_value", "from"),
    ] {
        let reply = alice.get(&format!("/v1/orders?{query}")).await;
        reply.refused_as_form();
        let error = &reply.body["errors"][0];
        assert_eq!(
            (reply.status.as_u16(), &error["code"], &error["field"]),
            (422, &json!(code), &json!(field)),
            "{query}"
        );
    }
    alice.get("/v1/orders?status=%00").await.refused(422, "invalid_text");
    alice.get("/v1/orders/%00").await.refused(404, "not_found");
}

#[tokio::test]
async fn a_panic_is_answered_in_the_one_form_and_the_next_request_as_ever() {
    let state = state(&new_database().await, &[]);
    let routes = Router::new().route("/v1/panic", get(panics)).route("/v1/fine", get(|| async { "fine" }));
    let api = api::surface::wrap(routes, state, REQUEST_TIMEOUT);
    for expected in [("/v1/panic", 500), ("/v1/fine", 200), ("/v1/panic", 500)] {
        let reply = call(&api, Request::get(expected.0)).await;
        assert_eq!(reply.status.as_u16(), expected.1);
        if expected.1 == 500 {
            reply.refused(500, "internal");
            assert!(!reply.text.contains("the mill stands still"), "what went wrong inside is not for clients");
        }
    }
}

async fn panics() -> &'static str {
    panic!("the mill stands still")
}

#[tokio::test]
async fn what_takes_too_long_is_given_up_in_the_one_form() {
    let state = state("postgres://nobody@127.0.0.1:1/nothing", &[]);
    let routes = Router::new().route("/v1/slow", get(std::future::pending::<String>));
    let api = api::surface::wrap(routes, state, Duration::from_millis(1));
    let reply = call(&api, Request::get("/v1/slow")).await;
    reply.refused(504, "timeout");
}

/// A body that does not arrive is the client's fault: no error of ours, and nobody is woken for it.
#[tokio::test]
async fn a_body_that_never_comes_is_given_up_in_the_one_form() {
    let state = state("postgres://nobody@127.0.0.1:1/nothing", &[]);
    let routes = Router::new().route("/v1/read", post(|body: String| async { body }));
    let api = api::surface::wrap(routes, state, Duration::from_millis(1));
    let half = futures::stream::iter([Ok::<_, std::io::Error>("{")]).chain(futures::stream::pending());
    let request = Request::post("/v1/read").body(Body::from_stream(half)).unwrap();
    reply(api.oneshot(request).await.unwrap()).await.refused(408, "request_timeout");
}

#[tokio::test]
async fn where_nobody_is_known_yet_bodies_are_small() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let body = json!({ "email": "x".repeat(8 * 1024), "password": PASSWORD });
    for path in ["/v1/auth/login", "/v1/auth/register", "/v1/auth/refresh", "/v1/me/password"] {
        alice.post(path, body.clone()).await.refused(413, "body_too_large");
    }
    // Elsewhere it is read, and refused for what it says.
    assert_eq!(alice.post("/v1/orders", body).await.status.as_u16(), 422);
}

#[tokio::test]
async fn without_its_database_the_api_says_so_in_the_one_form() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    app.state.db.close().await;
    for refused in [app.anyone().get("/v1/products").await, alice.post("/v1/orders", json!({})).await] {
        refused.refused(503, "unavailable");
        assert!(seconds(&refused, "retry-after") >= 1);
    }
}

// ---- request ids -----------------------------------------------------------------------------

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

// ---- rate limits -----------------------------------------------------------------------------

#[tokio::test]
async fn a_caller_is_told_its_limit_and_refused_past_it() {
    let app = TestApp::with(&["--rate-limit-read=3/1h"]).await;
    let (alice, bob) = (app.customer().await, app.customer().await);
    for remaining in ["2", "1", "0"] {
        let reply = alice.get("/v1/orders").await.done(200);
        assert_eq!((reply.header("ratelimit-limit"), reply.header("ratelimit-remaining")), ("3", remaining));
        assert!((1..=3600).contains(&seconds(&reply, "ratelimit-reset")));
    }
    let refused = alice.get("/v1/orders").await;
    refused.refused(429, "rate_limited");
    assert_eq!(refused.header("ratelimit-remaining"), "0");
    assert!((1..=1200).contains(&seconds(&refused, "retry-after")), "a third of the hour gives one back");

    alice.post("/v1/orders", json!({})).await.refused(422, "missing_field");
    bob.get("/v1/orders").await.done(200);
    app.anyone().get("/v1/products").await.done(200);
    for _ in 0..5 {
        app.anyone().get("/health").await.done(200);
        app.anyone().get("/openapi.json").await.done(200);
    }
}

#[tokio::test]
async fn a_forged_x_forwarded_for_does_not_help() {
    let app = TestApp::with(&["--rate-limit-read=2/1h"]).await;
    let from = async |address: &str| {
        app.anyone().send(Method::GET, "/v1/products", None, &[("x-forwarded-for", address)]).await
    };
    from("203.0.113.1").await.done(200);
    from("203.0.113.2").await.done(200);
    from("203.0.113.3").await.refused(429, "rate_limited");
    let forged = [("x-forwarded-for", "203.0.113.4"), ("forwarded", "for=203.0.113.4"), ("x-real-ip", "203.0.113.4")];
    app.anyone().send(Method::GET, "/v1/products", None, &forged).await.refused(429, "rate_limited");
    let made_up = Person { token: Some("made.up.token".to_owned()), ..app.anyone() };
    made_up.get("/v1/products").await.refused(429, "rate_limited");
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_limit_and_cannot_forge_another() {
    let app = TestApp::with(&["--rate-limit-read=1/1h", "--trusted-proxies=127.0.0.0/8"]).await;
    let through = async |forwarded: &str| {
        app.anyone().send(Method::GET, "/v1/products", None, &[("x-forwarded-for", forwarded)]).await
    };
    through("203.0.113.1").await.done(200);
    through("203.0.113.2").await.done(200);
    through("203.0.113.1").await.refused(429, "rate_limited");
    through("198.51.100.9, 203.0.113.1").await.refused(429, "rate_limited");
}

#[tokio::test]
async fn signing_in_is_limited_per_address() {
    let app = TestApp::with(&["--rate-limit-login=2/1h"]).await;
    let nobody = json!({ "email": "nobody@example.com", "password": PASSWORD });
    for _ in 0..2 {
        app.anyone().post("/v1/auth/login", nobody.clone()).await.refused(401, "invalid_credentials");
    }
    app.anyone().post("/v1/auth/login", nobody.clone()).await.refused(429, "rate_limited");
    app.anyone().post("/v1/auth/register", nobody).await.refused(429, "rate_limited");
}

#[tokio::test]
async fn rate_limits_can_be_off() {
    let app = TestApp::with(&["--rate-limits=off", "--rate-limit-read=1/1h"]).await;
    for _ in 0..5 {
        let reply = app.anyone().get("/v1/products").await.done(200);
        assert_eq!(reply.header("ratelimit-limit"), "");
    }
}

fn seconds(reply: &Reply, name: &str) -> u64 {
    reply.header(name).parse().unwrap_or_else(|_| panic!("{name} is not in {reply:?}"))
}

// ---- compression and headers -----------------------------------------------------------------

#[tokio::test]
async fn answers_are_compressed_for_those_who_ask() {
    let app = TestApp::new().await;
    a_mug_in_stock(&app.staff().await).await;
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
async fn documents_are_read_once_and_then_known() {
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

// ---- health ----------------------------------------------------------------------------------

#[tokio::test]
async fn health_says_that_all_is_well() {
    let app = TestApp::new().await;
    assert_eq!(app.anyone().get("/health").await.done(200).body, json!({ "db": "ok", "redis": "off" }));
    app.anyone().get("/health/live").await.done(200);
    app.anyone().get("/health/ready").await.done(200);
}

#[tokio::test]
async fn health_says_how_redis_is_and_serves_without_it() {
    let there = format!("--redis-url={}", crate::support::redis_url());
    for (redis, state) in [(there.as_str(), "ok"), ("--redis-url=redis://127.0.0.1:1", "degraded")] {
        let app = TestApp::with(&[redis]).await;
        assert_eq!(app.anyone().get("/health").await.done(200).body, json!({ "db": "ok", "redis": state }));
        app.anyone().get("/health/ready").await.done(200);
        app.customer().await.get("/v1/orders").await.done(200);
    }
}

#[tokio::test]
async fn health_says_that_the_database_is_down() {
    let app = TestApp::new().await;
    app.state.db.close().await;
    let health = app.anyone().get("/health").await;
    health.refused(503, "unavailable");
    assert_eq!((&health.body["db"], &health.body["redis"]), (&json!("down"), &json!("off")));
    app.anyone().get("/health/ready").await.refused(503, "unavailable");
    app.anyone().get("/health/live").await.done(200);
}

#[tokio::test]
async fn a_process_that_is_stopping_is_alive_and_not_ready() {
    let state = state(&new_database().await, &[]);
    let api = api::app(state.clone());
    assert_eq!(call(&api, Request::get("/health/ready")).await.status.as_u16(), 200);
    state.stopping.cancel();
    call(&api, Request::get("/health/ready")).await.refused(503, "unavailable");
    assert_eq!(call(&api, Request::get("/health/live")).await.status.as_u16(), 200);
}

#[tokio::test]
async fn metrics_are_at_their_own_address_with_bounded_labels() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    alice.get(&format!("/v1/orders/{}", Uuid::now_v7())).await.refused(404, "order_not_found");
    app.anyone().get("/some/made-up/address").await.refused(404, "not_found");
    app.anyone().get("/metrics").await.refused(404, "not_found");
    let metrics = app.http.get(format!("{}/metrics", app.metrics_url)).send().await.unwrap().text().await.unwrap();
    let counted = r#"millrace_http_requests_total{method="GET",route="/v1/orders/{id}",status="404"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(!metrics.contains("made-up"), "anybody could make up labels without end");
}

#[tokio::test]
async fn a_client_that_goes_before_it_is_answered_is_counted_too() {
    let app = TestApp::new().await;
    let mut other = app.db.begin().await.unwrap();
    sqlx::query("lock table products in access exclusive mode").execute(&mut *other).await.unwrap();
    let mut client = TcpStream::connect(app.url.strip_prefix("http://").unwrap()).await.unwrap();
    client.write_all(b"GET /v1/products HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let waits =
        "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())";
    until("its request waits", async || sqlx::query_scalar(waits).fetch_one(&app.db).await.unwrap()).await;
    drop(client);
    let counted = r#"millrace_http_requests_total{method="GET",route="/v1/products",status="499"} 1"#;
    let metrics =
        async || app.http.get(format!("{}/metrics", app.metrics_url)).send().await.unwrap().text().await.unwrap();
    until("it is counted", async || metrics().await.contains(counted)).await;
    other.rollback().await.unwrap();
}

// ---- graceful stop ---------------------------------------------------------------------------

#[tokio::test]
async fn asked_to_stop_it_finishes_what_runs_and_takes_nothing_new() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let state = state(&app.database_url, &[]);
    let stopping = state.stopping.clone();
    let (api, metrics) = (listener().await, listener().await);
    let address = api.local_addr().unwrap();
    let server = tokio::spawn(api::serve::serve_on(api, metrics, state));

    let login = json!({ "email": alice.email, "password": PASSWORD }).to_string();
    let (first, second) = login.split_at(10);
    let mut running = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{first}",
        login.len()
    );
    running.write_all(head.as_bytes()).await.unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap(); // By now the other request, sent before, is being read too.
    assert_eq!(&answer, b"HTTP/1.1 200");

    stopping.cancel();
    until("new connections are refused", async || TcpStream::connect(address).await.is_err()).await;
    assert!(!server.is_finished(), "a request is still running");

    running.write_all(second.as_bytes()).await.unwrap();
    let mut answer = String::new();
    running.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("access_token"), "{answer}");
    let stopped = tokio::time::timeout(Duration::from_secs(5), server).await;
    stopped.expect("nothing is left to wait for").unwrap().unwrap();
}

// ---- support ---------------------------------------------------------------------------------

fn state(database_url: &str, options: &[&str]) -> api::AppState {
    let cli = settings(database_url, options);
    api::serve::state(&cli.common, cli.serve).expect("the settings are fine")
}

async fn listener() -> TcpListener {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap()
}

/// Calls a router without a network.
async fn call(api: &Router, request: axum::http::request::Builder) -> Reply {
    reply(api.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await
}

async fn reply(response: axum::response::Response) -> Reply {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.into()).unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Reply { status: parts.status, headers: parts.headers, body, text }
}
