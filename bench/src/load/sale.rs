//! Measures a flash sale: orders at the full rate for a minute, and then how long the fleet takes to catch up.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sqlx::{AssertSqlSafe, PgPool};

use super::generator::{Load, Random, RequestWriter};
use super::http::Connection;
use super::requests::{self, Buying};
use super::settings::Settings;
use super::system::System;
use crate::report::{Aim, Report, Row, say};

const CONNECTIONS: usize = 64;
const WORKERS: usize = 2;
/// One more order, on a connection of its own, as often as this.
const SINGLE_EVERY: Duration = Duration::from_millis(100);
/// The fleet has stopped if no order moves for so long.
const STUCK_AFTER: Duration = Duration::from_mins(1);

const PART: &str = "sale";

pub async fn measure(system: &System, settings: &Settings, report: &mut Report) -> Result<()> {
    let db = &system.main.db;
    let sale = if settings.quick { Duration::from_secs(2) } else { Duration::from_mins(1) };
    let (mut api, addr) = system.api(&system.main, &[]).await?;
    let tokens = requests::buyers(addr).await?;
    let ask = system.main.products.orders(Buying::Spread, &tokens);
    let workers = system.workers(WORKERS).await?;
    say(format!("sale: orders at the full rate for {sale:?}, {WORKERS} workers"));
    let before = count(db, CANCELLED).await?;
    let load = Load { addr, connections: CONNECTIONS, expected: 201, ask: ask.clone(), pace: None };
    let begin = Instant::now();
    let (single, measured) = load.during(begin, single_orders(addr, ask, sale)).await?;
    let mut single = single?;
    single.sort_unstable();
    let single_p99 = single[single.len() * 99 / 100].as_secs_f64() * 1000.0;
    say("sale: waiting until everything is paid, and until everything is shipped");
    let paid = until_none(db, "status in ('pending', 'processing')").await?;
    let shipped = paid + until_none(db, "status = 'paid'").await?;
    let cancelled = count(db, CANCELLED).await? - before;
    let seconds = sale.as_secs_f64();
    report.rows.extend([
        Row::new(PART, "orders placed during the sale", measured.rate(), "a second")
            .note(format!("{} answered, {} errors", measured.answered, measured.errors)),
        Row::new(PART, "everything is paid, after the sale", paid.as_secs_f64(), "s")
            .beside("the sale", seconds)
            .aim(Aim::AtMost(3.0)),
        Row::new(PART, "everything is shipped, after the sale", shipped.as_secs_f64(), "s").beside("the sale", seconds),
        Row::new(PART, "orders that we cancelled", cancelled, "").aim(Aim::AtMost(0.0)),
        Row::new(PART, "a single order during the sale, p99", single_p99, "ms")
            .beside("the sale's orders", measured.p99_ms),
    ]);
    for mut worker in workers {
        worker.stop().await?;
    }
    api.kill().await?;
    Ok(())
}

const CANCELLED: &str = "select count(*)::float8 from orders where stage = 'cancelled'";

async fn count(db: &PgPool, sql: &'static str) -> Result<f64> {
    Ok(sqlx::query_scalar(sql).fetch_one(db).await?)
}

/// How long each of the single orders took.
async fn single_orders(addr: SocketAddr, ask: RequestWriter, sale: Duration) -> Result<Vec<Duration>> {
    let (mut connection, mut random) = (Connection::open(addr).await?, Random::new(77));
    let (begin, mut request, mut took) = (Instant::now(), Vec::new(), Vec::new());
    let mut every = tokio::time::interval(SINGLE_EVERY);
    while begin.elapsed() < sale {
        every.tick().await;
        request.clear();
        ask(&mut random, &mut request);
        let asked = Instant::now();
        ensure!(connection.ask(&request).await?.status == 201, "a single order was refused");
        took.push(asked.elapsed());
    }
    Ok(took)
}

/// Waits until no order is in these states. Returns how long that took.
async fn until_none(db: &PgPool, states: &'static str) -> Result<Duration> {
    let begin = Instant::now();
    let (mut least, mut moved) = (i64::MAX, Instant::now());
    loop {
        let sql = AssertSqlSafe(format!("select count(*) from orders where stage = 'unshipped' and {states}"));
        let left: i64 = sqlx::query_scalar(sql).fetch_one(db).await?;
        if left == 0 {
            return Ok(begin.elapsed());
        }
        if left < least {
            (least, moved) = (left, Instant::now());
        }
        ensure!(moved.elapsed() < STUCK_AFTER, "{left} orders do not move any more");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
