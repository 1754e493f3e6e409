//! Nobody takes every place: not one address with many connections, and not one connection with many requests.

use std::net::Ipv4Addr;
use std::time::Duration;

use shared::platform::http::places::OPERATORS;
use testkit::until::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Http2, app, connect, connect_from, metric, pipeline, serve, short};
use crate::tls::Files;

const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Is the connection answered? One that is refused is closed without a word.
async fn is_answered(client: &mut TcpStream) -> bool {
    let request = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut answer = [0; 12];
    client.write_all(request).await.is_ok() && client.read_exact(&mut answer).await.is_ok()
}

#[tokio::test]
async fn one_address_cannot_hold_all_places() {
    let app = serve(short(|_| {}), &["--max-connections=6", "--max-connections-per-address=3"]).await;
    let mut held = Vec::new();
    for place in 0..6 {
        let mut client = connect(&app.url).await;
        assert_eq!(is_answered(&mut client).await, place < 3, "place {place}");
        held.push(client);
    }
    assert!(is_answered(&mut connect_from(OTHER, &app.url).await).await, "others have theirs");
    assert_eq!(metric(&app, r#"millrace_api_connections_refused_total{reason="address"}"#).await, 3);
    held.remove(0);
    until("its place is free again", async || is_answered(&mut connect(&app.url).await).await).await;
}

#[tokio::test]
async fn a_trusted_proxy_has_as_many_places_as_there_are() {
    let options = ["--max-connections=6", "--max-connections-per-address=1", "--trusted-proxies=127.0.0.1"];
    let app = serve(short(|_| {}), &options).await;
    let mut held = Vec::new();
    for _ in 0..6 {
        let mut client = connect(&app.url).await;
        assert!(is_answered(&mut client).await);
        held.push(client);
    }
}

#[tokio::test]
async fn one_address_cannot_hold_all_places_of_the_metrics_listener() {
    let app = serve(short(|_| {}), &[]).await;
    let mut held = Vec::new();
    for place in 0..=OPERATORS.per_address {
        let mut client = connect(&app.metrics_url).await;
        assert_eq!(is_answered(&mut client).await, place < OPERATORS.per_address, "place {place}");
        held.push(client);
    }
    assert!(is_answered(&mut connect_from(OTHER, &app.metrics_url).await).await, "others have theirs");
}

#[tokio::test]
async fn readiness_notices_that_no_place_is_free_and_that_one_is_again() {
    let app = serve(short(|limits| limits.full = Duration::from_millis(200)), &["--max-connections=1"]).await;
    let ready = async || {
        let url = format!("{}/health/ready", app.metrics_url);
        app.http.get(url).send().await.unwrap().status().as_u16()
    };
    let mut only = connect(&app.url).await;
    assert!(is_answered(&mut only).await);
    until("it is not ready", async || ready().await == 503).await;
    pipeline(&mut only, "/health/ready", 1).await;
    let mut said = String::new();
    while !said.contains("no place for a connection is free") {
        let mut piece = [0; 1024];
        let read = only.read(&mut piece).await.unwrap();
        assert!(read > 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    drop(only);
    until("it is ready again", async || ready().await == 200).await;
}

/// 256 requests is what an address may have in flight here: eight connections with all their streams.
#[tokio::test]
async fn past_the_requests_in_flight_an_address_is_told_to_come_back_and_others_are_served() {
    let files = Files::new();
    let app = app(&files, short(|_| {}), &["--max-connections-per-address=20"]).await;
    let (mut connections, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        let mut deaf = Http2::open(&files, connect(&app.url).await, 0).await;
        for _ in 0..32 {
            answers.push(deaf.ask("/openapi.json").await.await.unwrap());
        }
        connections.push(deaf);
    }
    assert!(answers.iter().all(|answer| answer.status() == 200));
    let mut next = Http2::open(&files, connect(&app.url).await, 65_535).await;
    let refused = next.ask("/openapi.json").await.await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    let problem = refused.into_body().data().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&problem).contains(r#""code":"overloaded""#), "{problem:?}");
    assert_eq!(next.ask("/health/live").await.await.unwrap().status(), 200);
    let mut other = Http2::open(&files, connect_from(OTHER, &app.url).await, 65_535).await;
    assert_eq!(other.ask("/openapi.json").await.await.unwrap().status(), 200);
    drop((connections, answers));
    until("its answers have ended", async || next.ask("/openapi.json").await.await.unwrap().status() == 200).await;
}
