//! Answers that nobody reads cost little memory: measured on a process of the binary.

use axum::body::Bytes;
use testkit::database::new_database;
use testkit::until::until;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::{Http2, connect, pipeline};
use crate::process::{Process, binary, enough};
use crate::tls::Files;

const CONNECTIONS: usize = 40;
const STREAMS: usize = 32;
const PIPELINED: usize = 12;

const PATHS: [&str; 4] =
    ["/docs/swagger-ui-bundle.js", "/openapi.json", "/v1/products?limit=500", "/docs/swagger-ui.css"];

fn start(database: &str, files: &Files, tls: bool) -> (Process, String) {
    let (cert, key) = (files.path("tls-cert"), files.path("tls-key"));
    let mut settings = enough(database);
    settings.extend([("RATE_LIMITS", "off"), ("RUST_LOG", "warn,api::serve=info")]);
    if tls {
        settings.extend([("TLS_CERT", cert.to_str().unwrap()), ("TLS_KEY", key.to_str().unwrap())]);
    }
    let mut process = Process::start(&mut binary(&settings));
    let url = process.url();
    (process, url)
}

/// A database with the 133 products of the demo shop.
async fn shop() -> String {
    let database = new_database().await;
    let seed = concat!(env!("CARGO_MANIFEST_DIR"), "/../seed");
    let (fine, printed) = crate::process::run(binary(&[("DATABASE_URL", &database)]).args(["seed", seed]));
    assert!(fine, "{printed}");
    database
}

/// As many connections as the attack has, whose clients read what they asked for.
async fn honest_http2(files: &Files, url: &str) -> Vec<Http2> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Http2::open(files, connect(url).await, 1 << 24).await;
        for path in PATHS {
            let mut body = client.ask(path).await.await.unwrap().into_body();
            while let Some(data) = body.data().await {
                let data: Bytes = data.unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
            }
        }
        clients.push(client);
    }
    clients
}

#[tokio::test]
async fn streams_of_http2_that_nobody_reads_cost_less_than_honest_connections_at_rest() {
    let files = Files::new();
    files.write("first");
    let database = shop().await;
    let (process, url) = start(&database, &files, true);
    let honest = honest_http2(&files, &url).await;
    let rest = process.resident_kib();
    drop(honest);

    let (mut clients, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let mut deaf = Http2::open(&files, connect(&url).await, 0).await;
        let mut heads = Vec::new();
        for stream in 0..STREAMS {
            heads.push(deaf.ask(PATHS[stream % PATHS.len()]).await);
        }
        for head in heads {
            answers.push(head.await.unwrap());
        }
        clients.push(deaf);
    }
    let attacked = process.resident_kib();
    println!("HTTP/2: {rest} KiB at rest, {attacked} KiB with {} unread answers", answers.len());
    assert!(attacked < 2 * rest, "{rest} KiB at rest, {attacked} KiB under the attack");
    let served = answers.iter().filter(|answer| answer.status() == 200).count();
    assert!(served > 256, "the attack must have reached its target: {served}");
}

#[tokio::test]
async fn pipelined_answers_that_nobody_reads_cost_less_than_honest_connections_at_rest() {
    let files = Files::new();
    let database = shop().await;
    let (process, url) = start(&database, &files, false);
    let http = reqwest::Client::new();
    for path in PATHS {
        for _ in 0..CONNECTIONS {
            http.get(format!("{url}{path}")).send().await.unwrap().bytes().await.unwrap();
        }
    }
    let honest: Vec<TcpStream> = begin(&url, 1).await;
    let rest = process.resident_kib();
    drop(honest);

    let deaf = begin(&url, PIPELINED).await;
    // It writes until the kernel takes no more; then nothing changes.
    let mut last = 0;
    until("the process has written what it can", async || {
        let now = process.resident_kib();
        let settled = now == last;
        last = now;
        settled
    })
    .await;
    println!("HTTP/1.1: {rest} KiB at rest, {last} KiB with {} unread answers", deaf.len() * PIPELINED);
    assert!(last < 2 * rest, "{rest} KiB at rest, {last} KiB under the attack");
}

/// Connections with this many requests, of whose answers the clients read the first word.
async fn begin(url: &str, requests: usize) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for connection in 0..CONNECTIONS {
        let mut client = connect(url).await;
        pipeline(&mut client, PATHS[connection % PATHS.len()], requests).await;
        clients.push(client);
    }
    let mut served = 0;
    for client in &mut clients {
        let mut word = [0; 12];
        client.read_exact(&mut word).await.unwrap();
        served += usize::from(&word == b"HTTP/1.1 200");
    }
    // So many lists at once may find no connection to Postgres on a busy machine, which is a 503.
    assert!(served > CONNECTIONS / 2, "the attack must have reached its target: {served}");
    clients
}
