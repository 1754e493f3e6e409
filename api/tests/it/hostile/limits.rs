//! Each way to be slow has its limit, and honest slowness stays within it.

use std::time::Duration;

use shared::platform::http::limits::Limits;
use testkit::until::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use super::{Http2, PATIENCE, app, connect, metric, pipeline, serve, short};
use crate::tls::Files;

/// 1.5 MB, more than the kernel buffers for a reader that does not read.
const LARGE: &str = "/docs/swagger-ui-bundle.js";

const SHORT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_reader_that_takes_no_byte_ends() {
    let app = serve(short(|limits| limits.write = SHORT), &[]).await;
    let mut deaf = connect(&app.url).await;
    let request = format!("GET {LARGE} HTTP/1.1\r\nhost: x\r\n\r\n").repeat(20);
    deaf.write_all(request.as_bytes()).await.unwrap();
    until("it is ended", async || metric(&app, r#"millrace_api_connections_ended_total{reason="write"}"#).await > 0)
        .await;
    assert_eq!(metric(&app, "millrace_api_connections").await, 0, "its place is free");
}

#[tokio::test]
async fn a_reader_over_tls_that_takes_no_byte_ends() {
    let files = Files::new();
    let app = app(&files, short(|limits| limits.write = SHORT), &[]).await;
    let mut deaf = files.shake_hands("first", connect(&app.url).await, b"http/1.1").await;
    deaf.write_all(format!("GET {LARGE} HTTP/1.1\r\nhost: x\r\n\r\n").repeat(20).as_bytes()).await.unwrap();
    until("it is ended", async || metric(&app, r#"millrace_api_connections_ended_total{reason="write"}"#).await > 0)
        .await;
}

/// Its socket takes everything; its streams take nothing.
#[tokio::test]
async fn a_stream_of_http2_without_a_window_ends() {
    let files = Files::new();
    let app = app(&files, short(|limits| limits.write = SHORT), &[]).await;
    let mut deaf = Http2::open(&files, connect(&app.url).await, 0).await;
    let mut answers = Vec::new();
    for _ in 0..32 {
        answers.push(deaf.ask(LARGE).await);
    }
    for answer in answers {
        let mut body = answer.await.unwrap().into_body();
        let end = timeout(PATIENCE, body.data()).await.expect("the stream ends").expect("not well");
        assert!(end.unwrap_err().is_reset());
    }
}

#[tokio::test]
async fn an_answer_that_is_taken_byte_by_byte_ends() {
    let files = Files::new();
    let app = app(&files, short(|limits| limits.answer = 2 * SHORT), &[]).await;
    let mut slow = Http2::open(&files, connect(&app.url).await, 1).await;
    let mut body = slow.ask(LARGE).await.await.unwrap().into_body();
    let mut pulse = tokio::time::interval(Duration::from_millis(10));
    let drip = async {
        while let Some(Ok(data)) = body.data().await {
            pulse.tick().await;
            body.flow_control().release_capacity(data.len()).unwrap();
        }
    };
    timeout(PATIENCE, drip).await.expect("the stream ends");
    assert!(!body.is_end_stream(), "it was not read to its end");
}

#[tokio::test]
async fn an_answer_that_is_taken_slowly_over_http1_ends() {
    let app = serve(short(|limits| limits.answer = 2 * SHORT), &[]).await;
    // Little room for the kernel to take the answer in the reader's stead.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8192).unwrap();
    let mut slow = socket.connect(super::address(&app.url).parse().unwrap()).await.unwrap();
    let request = format!("GET {LARGE} HTTP/1.1\r\nhost: x\r\n\r\n").repeat(4);
    slow.write_all(request.as_bytes()).await.unwrap();
    let mut pulse = tokio::time::interval(Duration::from_millis(10));
    let drip = async {
        let mut piece = [0; 2048];
        let mut taken = 0;
        while taken < usize::MAX {
            taken += slow.read(&mut piece).await.unwrap_or(0);
            pulse.tick().await;
        }
    };
    let ended = until("it is ended", async || {
        metric(&app, r#"millrace_api_connections_ended_total{reason="answer"}"#).await > 0
    });
    tokio::select! {
        () = ended => {}
        () = drip => {}
    }
}

/// Who reads slowly but steadily gets it all.
#[tokio::test]
async fn an_honest_slow_reader_gets_the_whole_answer() {
    let files = Files::new();
    let app = app(&files, short(|limits| limits.write = 2 * SHORT), &[]).await;
    let mut slow = Http2::open(&files, connect(&app.url).await, 16_384).await;
    let response = slow.ask(LARGE).await.await.unwrap();
    let length: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let (mut body, mut read) = (response.into_body(), 0);
    let mut pulse = tokio::time::interval(Duration::from_millis(50));
    while let Some(data) = body.data().await {
        pulse.tick().await;
        let data = data.expect("it is not ended");
        read += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    assert_eq!(read, length);
}

#[tokio::test]
async fn a_connection_without_a_request_ends_also_when_it_answers_pings() {
    let files = Files::new();
    let app = app(&files, short(|limits| limits.idle = SHORT), &[]).await;
    let mut idle = Http2::open(&files, connect(&app.url).await, 65_535).await;
    assert_eq!(idle.ask("/health/live").await.await.unwrap().status(), 200);
    idle.ends().await;

    let mut idle = files.shake_hands("first", connect(&app.url).await, b"http/1.1").await;
    idle.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, idle.read_to_end(&mut answer)).await.expect("the API ends it").ok();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(metric(&app, r#"millrace_api_connections_ended_total{reason="idle"}"#).await, 2);
}

/// An answer that fits into what the library buffers is no stream that runs, and its connection is idle.
#[tokio::test]
async fn a_connection_whose_small_answers_are_never_taken_ends() {
    let files = Files::new();
    let app = app(&files, short(|limits| limits.idle = SHORT), &[]).await;
    let mut deaf = Http2::open(&files, connect(&app.url).await, 1).await;
    let mut answers = Vec::new();
    for _ in 0..32 {
        answers.push(deaf.ask("/health").await);
    }
    for answer in &mut answers {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    deaf.ends().await;
}

#[tokio::test]
async fn a_connection_that_is_always_busy_ends_after_its_lifetime_and_breaks_no_request() {
    let files = Files::new();
    let app = app(&files, short(|limits| limits.lifetime = SHORT), &[]).await;
    let mut busy = Http2::open(&files, connect(&app.url).await, 65_535).await;
    let requests = async {
        loop {
            let Ok(ready) = busy.requests.clone().ready().await else { break };
            busy.requests = ready;
            let request = axum::http::Request::get("https://127.0.0.1/health/live").body(()).unwrap();
            let Ok((answer, _)) = busy.requests.send_request(request, true) else { break };
            match answer.await {
                Ok(answer) => assert_eq!(answer.status(), 200),
                // It had begun after the API said that it closes, so it may be sent again.
                Err(error) => {
                    assert!(error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR), "{error}");
                    break;
                }
            }
        }
    };
    timeout(PATIENCE, requests).await.expect("the connection ends");
    busy.ends().await;
    assert_eq!(metric(&app, r#"millrace_api_connections_ended_total{reason="lifetime"}"#).await, 1);
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_ends_the_connection_also_after_a_good_request() {
    let app = serve(short(|limits| limits.head = SHORT), &[]).await;
    let mut slow = connect(&app.url).await;
    pipeline(&mut slow, "/health/live", 1).await;
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let (mut read, mut write) = slow.into_split();
    let mut pulse = tokio::time::interval(Duration::from_millis(50));
    let drip = async {
        write.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
        while write.write_all(b"x").await.is_ok() {
            pulse.tick().await;
        }
    };
    let ended = async { read.read_to_end(&mut Vec::new()).await.ok() };
    timeout(PATIENCE, futures::future::join(drip, ended)).await.expect("the API ends it");
    assert_eq!(metric(&app, r#"millrace_api_connections_ended_total{reason="head"}"#).await, 1);
}

/// The listener for scrapers has the same limits.
#[tokio::test]
async fn the_metrics_listener_lets_slow_and_silent_clients_go() {
    let app = serve(short(|limits| (limits.head, limits.idle) = (SHORT, SHORT)), &[]).await;
    let mut silent = connect(&app.metrics_url).await;
    let mut idle = connect(&app.metrics_url).await;
    pipeline(&mut idle, "/health/live", 1).await;
    let ends = async |client: &mut tokio::net::TcpStream| {
        let mut said = Vec::new();
        timeout(PATIENCE, client.read_to_end(&mut said)).await.expect("it is let go").ok();
        said
    };
    assert_eq!(ends(&mut silent).await, b"");
    assert!(ends(&mut idle).await.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn the_limits_of_the_contract_hold() {
    let limits = Limits::default();
    assert_eq!((limits.idle.as_secs(), limits.write.as_secs()), (60, 20));
}
