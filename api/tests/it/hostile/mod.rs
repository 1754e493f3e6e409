//! Hostile clients: they do not read, do not send, or take every place. Each costs little and ends in time.

mod limits;
mod memory;
mod places;

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::body::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use shared::platform::http::limits::Limits;
use testkit::app::{TestApp, settings};
use testkit::database::new_database;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use crate::tls::Files;

/// Whatever a test waits for ends sooner.
const PATIENCE: Duration = Duration::from_secs(30);

/// An API with a certificate, and with limits that a test can wait for.
async fn app(files: &Files, limits: Limits, options: &[&str]) -> TestApp {
    files.write("first");
    let (cert, key) = (files.option("tls-cert"), files.option("tls-key"));
    let options = [options, &[cert.as_str(), key.as_str()]].concat();
    serve(limits, &options).await
}

async fn serve(limits: Limits, options: &[&str]) -> TestApp {
    let database = new_database().await;
    let cli = settings(&database, options);
    let state = api::serve::state(&cli.common, cli.serve).expect("the settings are fine");
    TestApp::serve(&database, state.with(|parts| parts.connection_limits = limits)).await
}

fn short(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits { close: Duration::from_millis(200), ..Limits::default() };
    change(&mut limits);
    limits
}

fn address(url: &str) -> &str {
    url.split_once("://").unwrap().1
}

/// A connection from this address of the loopback network.
async fn connect_from(from: Ipv4Addr, url: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(address(url).parse().unwrap()).await.unwrap()
}

async fn connect(url: &str) -> TcpStream {
    connect_from(Ipv4Addr::LOCALHOST, url).await
}

/// A client of HTTP/2 that answers pings, and gives each answer this window and no more.
struct Http2 {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    async fn open(files: &Files, stream: TcpStream, window: u32) -> Self {
        let stream = files.shake_hands("first", stream, b"h2").await;
        let (requests, connection) =
            h2::client::Builder::new().initial_window_size(window).handshake(stream).await.unwrap();
        Self { requests, connection: tokio::spawn(connection) }
    }

    /// Sends a request, and leaves its answer to the caller.
    async fn ask(&mut self, path: &str) -> ResponseFuture {
        let request = axum::http::Request::get(format!("https://127.0.0.1{path}"))
            .header("accept-encoding", "br, gzip")
            .body(())
            .unwrap();
        self.requests = self.requests.clone().ready().await.unwrap();
        self.requests.send_request(request, true).unwrap().0
    }

    /// Sees that the API ends the connection.
    async fn ends(self) {
        tokio::time::timeout(PATIENCE, self.connection).await.expect("the API ends it").unwrap().ok();
    }
}

/// Sends this request so often, and does not read the answers.
async fn pipeline(stream: &mut TcpStream, path: &str, times: usize) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\naccept-encoding: br, gzip\r\n\r\n");
    stream.write_all(request.repeat(times).as_bytes()).await.unwrap();
}

/// A counter or gauge of the API.
async fn metric(app: &TestApp, name: &str) -> u64 {
    let metrics = app.http.get(format!("{}/metrics", app.metrics_url)).send().await.unwrap().text().await.unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}
