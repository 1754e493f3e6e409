//! Every error answer has one form.

use std::time::Duration;

use api::policy::{Access, Policy};
use api::router::Routes;
use api::surface::REQUEST_TIMEOUT;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{get, post};
use futures::StreamExt;
use reqwest::Method;
use serde_json::json;
use testkit::app::{PASSWORD, TestApp};
use testkit::database::new_database;
use testkit::person::Reply;
use tower::ServiceExt;

use super::{call, reply, seconds, state};

const TWO_MIB: usize = 2 * 1024 * 1024;

#[tokio::test]
async fn unknown_routes_and_methods_are_refused_in_the_one_form() {
    let app = TestApp::new().await;
    for path in ["/nowhere", "/v1", "/v1/nowhere", "/v1/orders/", "/docs/nothing.js", "/v1/orders/not-an-id/x"] {
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

/// The API drains the body. Otherwise the client's next write would fail, and it would never read the answer.
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
    let policy = Policy::read(Access::Anyone);
    let routes = Routes::default().undocumented("/v1/panic", get(panics), policy);
    let routes = routes.undocumented("/v1/fine", get(async || "fine"), policy);
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
    let slow = get(std::future::pending::<String>);
    let routes = Routes::default().undocumented("/v1/slow", slow, Policy::read(Access::Anyone));
    let api = api::surface::wrap(routes, state, Duration::from_millis(1));
    let reply = call(&api, Request::get("/v1/slow")).await;
    reply.refused(504, "timeout");
}

/// A body that does not arrive is the client's fault, so it must not count as an error of ours.
#[tokio::test]
async fn a_body_that_never_comes_is_given_up_in_the_one_form() {
    let state = state("postgres://nobody@127.0.0.1:1/nothing", &[]);
    let read = post(async |body: String| body);
    let routes = Routes::default().undocumented("/v1/read", read, Policy::write(Access::Anyone));
    let api = api::surface::wrap(routes, state, Duration::from_millis(1));
    let half = futures::stream::iter([Ok::<_, std::io::Error>("{")]).chain(futures::stream::pending());
    let request = Request::post("/v1/read").body(Body::from_stream(half)).unwrap();
    reply(api.oneshot(request).await.unwrap()).await.refused(408, "request_timeout");
}

#[tokio::test]
async fn bodies_are_small_where_we_do_not_know_the_caller_yet() {
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
