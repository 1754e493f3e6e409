//! The listener for health and metrics: slow and silent clients are closed, and one address cannot take every place.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use shared::platform::http::limits::Limits;
use shared::platform::http::places::OPERATORS;
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use testkit::until::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use worker::Vitals;

const SHORT: Duration = Duration::from_millis(500);

/// Longer than any limit here.
const PATIENCE: Duration = Duration::from_secs(30);

const ASK_LIVE: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";

/// Serves as the worker does.
async fn listen(app: &TestApp, limits: Limits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let vitals = Vitals::new(&ManualWorker::of(app).ctx).unwrap();
    tokio::spawn(worker::serve::serve(listener, vitals, limits));
    addr
}

/// A connection from this address of the loopback network.
async fn connect_from(from: [u8; 4], addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::from(from), 0).into()).unwrap();
    socket.connect(addr).await.unwrap()
}

async fn is_answered(client: &mut TcpStream) -> bool {
    let mut answer = [0; 12];
    client.write_all(ASK_LIVE).await.is_ok() && client.read_exact(&mut answer).await.is_ok()
}

#[tokio::test]
async fn slow_and_silent_clients_are_closed() {
    let app = TestApp::new().await;
    let limits = Limits { head: SHORT, idle: SHORT, close: SHORT, ..Limits::default() };
    let addr = listen(&app, limits).await;
    let mut silent = TcpStream::connect(addr).await.unwrap();
    let mut slow = TcpStream::connect(addr).await.unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nx: ").await.unwrap();
    let mut idle = TcpStream::connect(addr).await.unwrap();
    idle.write_all(ASK_LIVE).await.unwrap();
    for (name, client, answered) in
        [("silent", &mut silent, false), ("slow", &mut slow, false), ("idle", &mut idle, true)]
    {
        let mut answer = Vec::new();
        timeout(PATIENCE, client.read_to_end(&mut answer))
            .await
            .unwrap_or_else(|_| panic!("{name} is not closed"))
            .ok();
        assert_eq!(answer.starts_with(b"HTTP/1.1 200"), answered, "{name}");
    }
}

#[tokio::test]
async fn a_scraper_that_does_not_read_is_closed() {
    let app = TestApp::new().await;
    let addr = listen(&app, Limits { write: SHORT, ..Limits::default() }).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = socket.connect(addr).await.unwrap();
    // Pipelined requests, until the kernel takes no more of their answers, and then of the requests.
    let written =
        async { while deaf.write_all(&b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100)).await.is_ok() {} };
    timeout(PATIENCE, written).await.expect("the worker closes the connection");
}

#[tokio::test]
async fn one_address_cannot_hold_all_places() {
    let app = TestApp::new().await;
    let addr = listen(&app, Limits::default()).await;
    let mut held = Vec::new();
    for place in 0..=OPERATORS.per_address {
        let mut client = connect_from([127, 0, 0, 1], addr).await;
        assert_eq!(is_answered(&mut client).await, place < OPERATORS.per_address, "place {place}");
        held.push(client);
    }
    assert!(is_answered(&mut connect_from([127, 0, 0, 2], addr).await).await, "others have their share");
    held.clear();
    until("its places are free again", async || is_answered(&mut connect_from([127, 0, 0, 1], addr).await).await).await;
}
