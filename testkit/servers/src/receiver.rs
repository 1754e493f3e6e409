//! A receiver of webhooks for `./dev up`: prints what arrives, and shows the latest on a page. `POST /status/503` rehearses a
//! receiver that fails.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the page shows.
const SHOWN: usize = 100;
/// An event has less than 20 kB.
const LARGEST: usize = 256 * 1024;

type Arrived = Arc<Mutex<VecDeque<Event>>>;

struct Event {
    id: String,
    kind: String,
    subject: String,
    answer: u16,
    body: String,
}

/// Receives until it is stopped.
pub async fn run(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    println!("webhooks that arrive at http://{address}/ are shown there");
    let arrived = Arrived::default();
    loop {
        let (mut socket, _) = listener.accept().await?;
        let arrived = arrived.clone();
        tokio::spawn(async move {
            if let Some(request) = read(&mut socket).await {
                let answer = answer(&request, &arrived);
                _ = socket.write_all(answer.as_bytes()).await;
                _ = socket.shutdown().await;
            }
        });
    }
}

struct Request {
    method: String,
    path: String,
    head: String,
    body: String,
}

async fn read(socket: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                let body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
                let mut line = head.split([' ', '\r']);
                let (method, path) = (line.next()?.to_owned(), line.next()?.to_owned());
                return Some(Request { method, path, head, body });
            }
        }
        if bytes.len() > LARGEST || socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn answer(request: &Request, arrived: &Arrived) -> String {
    let mut arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner);
    if request.method != "POST" {
        return written(200, "text/html; charset=utf-8", &page(&arrived));
    }
    let status = request.path.strip_prefix("/status/").and_then(|status| status.parse().ok()).unwrap_or(204);
    let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let event = Event {
        id: header(&request.head, "webhook-id").unwrap_or_default().to_owned(),
        kind: text(&body["type"]),
        subject: text(&body["subject"]["id"]),
        answer: status,
        body: serde_json::to_string_pretty(&body).unwrap_or_default(),
    };
    println!("{:<20} {} answered {status}", event.kind, event.id);
    arrived.push_front(event);
    arrived.truncate(SHOWN);
    written(status, "text/plain", "")
}

fn written(status: u16, kind: &str, body: &str) -> String {
    let length = if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    format!("HTTP/1.1 {status} Answered\r\ncontent-type: {kind}\r\n{length}connection: close\r\n\r\n{body}")
}

fn page(events: &VecDeque<Event>) -> String {
    let mut rows = String::new();
    for event in events {
        let (kind, id, subject) = (escaped(&event.kind), escaped(&event.id), escaped(&event.subject));
        let body = escaped(&event.body);
        write!(
            rows,
            "<details><summary><b>{kind}</b> {subject} <small>{id}, answered {}</small></summary><pre>{body}</pre></details>",
            event.answer
        )
        .expect("writing to a String cannot fail");
    }
    let none = if events.is_empty() { "<p>Nothing has arrived yet.</p>" } else { "" };
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Webhooks</title>\
         <meta name=viewport content='width=device-width'><meta name=color-scheme content='light dark'>\
         <style>body{{font:14px system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}}details{{margin:.4rem 0}}pre{{overflow:auto}}</style>\
         <h1>Webhooks that arrived</h1><p>The latest first. Reload for news.</p>{none}{rows}</html>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
