//! A receiver of webhooks that behaves as a test says: it answers, errs, hangs, redirects, drips or closes. It remembers what
//! arrived.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::until::until;

/// What the receiver does with a request.
#[derive(Debug, Clone)]
pub enum Reaction {
    Status(u16),
    /// Status, `Retry-After`
    RetryAfter(u16, String),
    /// Answers after this.
    Late(Duration),
    /// 302 to this address.
    Redirect(String),
    /// Accepts the request and says nothing.
    Hang,
    /// Sends a byte of the head now and then, and never all of it.
    Drip,
    /// 200, and then a body that never ends.
    EndlessBody,
    /// Closes without an answer.
    Close,
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub at: Instant,
    pub line: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Arrival {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    pub fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().to_owned()
    }

    pub fn subject(&self) -> String {
        self.json()["subject"]["id"].as_str().unwrap_or_default().to_owned()
    }

    pub fn sequence(&self) -> i64 {
        self.json()["sequence"].as_i64().unwrap_or_default()
    }
}

type React = Box<dyn Fn(&Arrival, usize) -> Reaction + Send + Sync>;

/// It stops when it is dropped.
pub struct Receiver {
    pub url: String,
    arrived: Arc<Mutex<Vec<Arrival>>>,
    react: Arc<Mutex<React>>,
    serving: JoinHandle<()>,
}

impl Receiver {
    /// Answers 200.
    pub async fn start() -> Self {
        Self::that(|_, _| Reaction::Status(200)).await
    }

    /// The second parameter counts the requests from 0.
    pub async fn that(react: impl Fn(&Arrival, usize) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let arrived: Arc<Mutex<Vec<Arrival>>> = Arc::default();
        let react: Arc<Mutex<React>> = Arc::new(Mutex::new(Box::new(react)));
        let serving = tokio::spawn(serve(listener, arrived.clone(), react.clone()));
        Self { url, arrived, react, serving }
    }

    /// What it does from now on.
    pub fn now(&self, react: impl Fn(&Arrival, usize) -> Reaction + Send + Sync + 'static) {
        *self.react.lock().unwrap() = Box::new(react);
    }

    pub fn arrivals(&self) -> Vec<Arrival> {
        self.arrived.lock().unwrap().clone()
    }

    /// Waits until so many requests have arrived.
    pub async fn has(&self, count: usize) -> Vec<Arrival> {
        until(&format!("{count} webhooks arrive"), async || self.arrivals().len() >= count).await;
        self.arrivals()
    }

    /// The events in the order in which each first arrived, as (subject, sequence).
    pub fn first_arrivals(&self) -> Vec<(String, i64)> {
        let mut seen = Vec::new();
        for arrival in self.arrivals() {
            let event = (arrival.subject(), arrival.sequence());
            if !seen.contains(&event) {
                seen.push(event);
            }
        }
        seen
    }

    /// Checks that the events of each subject first arrived in the order of their sequence, without gaps.
    pub fn assert_in_order(&self) {
        let mut last: HashMap<String, i64> = HashMap::new();
        for (subject, sequence) in self.first_arrivals() {
            let before = last.insert(subject.clone(), sequence);
            assert_eq!(before.unwrap_or(0) + 1, sequence, "events of {subject} arrive in order");
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, arrived: Arc<Mutex<Vec<Arrival>>>, react: Arc<Mutex<React>>) {
    // What is spawned here ends with this task.
    let mut talks = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (arrived, react) = (arrived.clone(), react.clone());
        talks.spawn(async move {
            let mut socket = socket;
            let Some(arrival) = read(&mut socket).await else { return };
            let reaction = {
                let mut arrived = arrived.lock().unwrap();
                let reaction = (react.lock().unwrap())(&arrival, arrived.len());
                arrived.push(arrival);
                reaction
            };
            answer(&mut socket, reaction).await;
        });
    }
}

/// With this byte a client begins that speaks TLS.
const TLS_HANDSHAKE: u8 = 22;

async fn read(socket: &mut TcpStream) -> Option<Arrival> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if bytes.first() == Some(&TLS_HANDSHAKE) {
            _ = socket.write_all(b"HTTP/1.1 400 This is no TLS\r\n\r\n").await;
            _ = socket.shutdown().await;
            // What is left unread would make the end a reset, which hides the answer.
            while socket.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {}
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while bytes.len() < head + 4 + length {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8_lossy(&bytes[head + 4..]).into_owned();
    Some(Arrival { at: Instant::now(), line, headers, body })
}

/// The pulse of what drips.
const DRIP: Duration = Duration::from_millis(50);

async fn answer(socket: &mut TcpStream, reaction: Reaction) {
    let whole = |status: u16, headers: &str| {
        format!("HTTP/1.1 {status} X\r\n{headers}content-length: 5\r\nconnection: close\r\n\r\nhello")
    };
    let text = match reaction {
        Reaction::Status(status) => whole(status, ""),
        Reaction::RetryAfter(status, after) => whole(status, &format!("retry-after: {after}\r\n")),
        Reaction::Late(wait) => {
            tokio::time::sleep(wait).await;
            whole(200, "")
        }
        Reaction::Redirect(to) => whole(302, &format!("location: {to}\r\n")),
        Reaction::Hang => return std::future::pending().await,
        Reaction::Close => return,
        Reaction::Drip => {
            return drip(socket, "HTTP/1.1 200 OK\r\nx: ").await;
        }
        Reaction::EndlessBody => {
            return drip(socket, "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await;
        }
    };
    _ = socket.write_all(text.as_bytes()).await;
    _ = socket.shutdown().await;
}

async fn drip(socket: &mut TcpStream, begin: &str) {
    let mut pulse = tokio::time::interval(DRIP);
    let mut next = begin;
    while socket.write_all(next.as_bytes()).await.is_ok() {
        next = "x";
        pulse.tick().await;
    }
}
