//! Probes, metrics and the graceful stop.

use std::time::Duration;

use api::serve::Listeners;
use axum::extract::Request;
use serde_json::json;
use testkit::app::{PASSWORD, TestApp};
use testkit::database::new_database;
use testkit::until::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::{call, listener, state};

#[tokio::test]
async fn health_says_that_all_is_well() {
    let app = TestApp::new().await;
    assert_eq!(app.anyone().get("/health").await.done(200).body, json!({ "db": "ok", "redis": "off" }));
    app.anyone().get("/health/live").await.done(200);
    app.anyone().get("/health/ready").await.done(200);
}

#[tokio::test]
async fn health_says_how_redis_is_and_serves_without_it() {
    let there = format!("--redis-url={}", testkit::database::redis_url());
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
    let api = api::serve::app(state.clone());
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

#[tokio::test]
async fn asked_to_stop_it_finishes_what_runs_and_takes_nothing_new() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let state = state(&app.database_url, &[]);
    let stopping = state.stopping.clone();
    let (api, metrics) = (listener().await, listener().await);
    let address = api.local_addr().unwrap();
    let server = tokio::spawn(api::serve::serve_on(Listeners { api, metrics, console: None }, state));

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
    idle.read_exact(&mut answer).await.unwrap(); // By now the API also reads the other request, which was sent earlier.
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
