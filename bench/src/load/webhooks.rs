//! Measures webhooks: thousands of events a second go to one endpoint that answers at once and to one that always fails,
//! while orders are paid. It compares how long orders take with the same events and no endpoints.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgPool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::generator::{Random, RequestWriter};
use super::http::{self, Connection};
use super::requests::{self, Buying};
use super::settings::Settings;
use super::system::System;
use crate::report::{Aim, Report, Row, say};

const PART: &str = "webhooks";

const WORKERS: usize = 2;
const EVENTS_A_SECOND: i64 = 5_000;
/// Events are written in steps, like those of many transactions.
const STEP: Duration = Duration::from_millis(50);
/// One order after the other, so that they measure the time and not the load.
const ORDER_EVERY: Duration = Duration::from_millis(250);
/// After the last event. An endpoint that is not done by then is far behind.
const DRAIN: Duration = Duration::from_mins(2);

/// Both processes know it. It signs only what this run sends.
const WEBHOOKS: [(&str, &str); 2] =
    [("WEBHOOK_MASTER_KEY", "a master key for the bench, which everybody knows"), ("WEBHOOK_ALLOW", "127.0.0.0/8")];

pub async fn measure(system: &System, settings: &Settings, report: &mut Report) -> Result<()> {
    let db = &system.main.db;
    let time = if settings.quick { Duration::from_secs(3) } else { Duration::from_secs(30) };
    let (mut api, addr) = system.api(&system.main, &WEBHOOKS).await?;
    let tokens = requests::buyers(addr).await?;
    let staff = requests::staff(addr, &system.main.url).await?;
    let ask = system.main.products.orders(Buying::Spread, &tokens);
    let mut workers = system.workers_with(WORKERS, &WEBHOOKS).await?;

    say(format!("webhooks: {EVENTS_A_SECOND} events a second and no endpoint, {time:?}"));
    let (_, without) = tokio::try_join!(write_events(db, time), orders(db, addr, &ask, time))?;

    let (fast, failing) = (Receiver::start(b"200 OK").await?, Receiver::start(b"500 Internal Server Error").await?);
    for receiver in [&fast, &failing] {
        register(addr, &staff, receiver).await?;
    }
    say(format!("webhooks: the same with an endpoint that answers and one that fails, {time:?}"));
    let (written, paid) = tokio::try_join!(write_events(db, time), orders(db, addr, &ask, time))?;
    let during = fast.arrived();
    say("webhooks: waiting until everything has arrived");
    let drained = Instant::now();
    while fast.arrived() < written && drained.elapsed() < DRAIN {
        tokio::time::sleep(STEP).await;
    }
    let drained = drained.elapsed().as_secs_f64();
    let [p50, p99, most] = fast.behind_ms().map(|ms| ms / 1000.0);
    let rate = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / time.as_secs_f64();
    report.rows.extend([
        Row::new(PART, "events that arrived at the fast endpoint", rate(during), "a second")
            .beside("events written", rate(written))
            .note(format!(
                "the other endpoint got {} attempts; all {} had arrived {drained:.1} s after the last was written",
                failing.arrived(),
                fast.arrived()
            )),
        Row::new(PART, "the fast endpoint is behind, at most", most, "s")
            .aim(Aim::AtMost(5.0))
            .note(format!("from the event to its arrival; p50 {p50:.2} s, p99 {p99:.2} s")),
        Row::new(PART, "placed to paid meanwhile, p50", paid.0, "ms")
            .beside("without endpoints", without.0)
            .aim(Aim::AtMost(1.5)),
        Row::new(PART, "placed to paid meanwhile, p99", paid.1, "ms").beside("without endpoints", without.1),
    ]);
    for worker in &mut workers {
        worker.stop().await?;
    }
    api.kill().await?;
    Ok(())
}

/// Writes events as a change of products would, each about another product. Returns how many.
async fn write_events(db: &PgPool, time: Duration) -> Result<u64> {
    let begin = Instant::now();
    let mut every = tokio::time::interval(STEP);
    let each = EVENTS_A_SECOND * i64::try_from(STEP.as_millis())? / 1000;
    let mut written = 0;
    while begin.elapsed() < time {
        every.tick().await;
        let insert = "insert into entity_events (subject, sequence, type, data)
            select p.id, 1 + coalesce((select max(sequence) from entity_events e where e.subject = p.id), 0), 'product.changed',
                   jsonb_build_object('sku', sku, 'name', name, 'price', jsonb_build_object('amount', price_minor, 'currency', currency),
                                      'active', active, 'changed', '[\"price\"]'::jsonb)
              from (select * from products where sku like 'BENCH-%' order by id offset $1 limit $2) p";
        let from = i64::try_from(written)? % 10_000;
        written += sqlx::query(insert).bind(from).bind(each).execute(db).await?.rows_affected();
    }
    Ok(written)
}

/// Places one order after the other. Returns p50 and p99 in ms from placed to paid.
async fn orders(db: &PgPool, addr: SocketAddr, ask: &RequestWriter, time: Duration) -> Result<(f64, f64)> {
    let (mut connection, mut random) = (Connection::open(addr).await?, Random::new(7));
    let (begin, mut request) = (Instant::now(), Vec::new());
    let mut every = tokio::time::interval(ORDER_EVERY);
    while begin.elapsed() < time {
        every.tick().await;
        request.clear();
        ask(&mut random, &mut request);
        ensure!(connection.ask(&request).await?.status == 201, "an order was refused");
    }
    // The last ones are not paid yet.
    super::lives::waits(db, time.as_secs_f64()).await
}

async fn register(addr: SocketAddr, staff: &str, receiver: &Receiver) -> Result<()> {
    let mut request = Vec::new();
    let body = json!({ "url": format!("http://{}/", receiver.addr), "types": ["product.changed"] }).to_string();
    http::write(&mut request, "/v1/webhooks", Some(staff), Some(&body));
    let mut connection = Connection::open(addr).await?;
    let answer = connection.ask(&request).await?;
    ensure!(answer.status == 201, "{}", String::from_utf8_lossy(answer.body));
    Ok(())
}

/// Answers every request in the same way, and notes how old its event is. It shares the cores with what is measured, so it
/// does as little as it can.
struct Receiver {
    addr: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    arrived: AtomicU64,
    most_ms: AtomicI64,
    /// Of every 16th event.
    behind_ms: Mutex<Vec<i64>>,
}

impl Receiver {
    async fn start(status: &'static [u8]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (addr, seen) = (listener.local_addr()?, Arc::new(Seen::default()));
        let noted = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let noted = noted.clone();
                tokio::spawn(async move { drop(serve(stream, status, &noted).await) });
            }
        });
        Ok(Self { addr, seen })
    }

    fn arrived(&self) -> u64 {
        self.seen.arrived.load(Ordering::Relaxed)
    }

    /// p50, p99 and the most.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of minutes")]
    fn behind_ms(&self) -> [f64; 3] {
        let mut behind = self.seen.behind_ms.lock().expect("no code panics while it holds this").clone();
        behind.sort_unstable();
        let at = |share: usize| behind.get(behind.len() * share / 100).copied().unwrap_or_default();
        [at(50), at(99), self.seen.most_ms.load(Ordering::Relaxed)].map(|ms| ms as f64)
    }
}

async fn serve(mut stream: TcpStream, status: &'static [u8], seen: &Seen) -> io::Result<()> {
    let answer = [b"HTTP/1.1 ", status, b"\r\ncontent-length: 0\r\n\r\n"].concat();
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n")
                && buffer.len() >= head + 4 + length(&buffer[..head])
            {
                break head + 4 + length(&buffer[..head]);
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let arrived = seen.arrived.fetch_add(1, Ordering::Relaxed);
        if let Some(at) = timestamp(&buffer[..end]) {
            let behind = (Utc::now() - at).num_milliseconds();
            seen.most_ms.fetch_max(behind, Ordering::Relaxed);
            if arrived.is_multiple_of(16) {
                seen.behind_ms.lock().expect("no code panics while it holds this").push(behind);
            }
        }
        buffer.drain(..end);
        stream.write_all(&answer).await?;
    }
}

fn length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = head.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

fn timestamp(request: &[u8]) -> Option<DateTime<Utc>> {
    let text = std::str::from_utf8(request).ok()?;
    text.split("\"timestamp\":\"").nth(1)?.split('"').next()?.parse().ok()
}
