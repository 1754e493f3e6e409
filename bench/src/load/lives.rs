//! Whole lives: orders placed, paid and shipped by real workers, in a stream that never lets up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use servers::process::Process;
use sqlx::PgPool;
use tokio::sync::Semaphore;

use super::generator::Load;
use super::http::Connection;
use super::settings::Settings;
use super::shop::{self, Buying};
use super::system::{System, statements};
use crate::report::{Curve, Plot, Report, Row, say};

/// Orders between their placement and their shipment: enough to keep four workers busy, and no backlog that grows.
const ON_THEIR_WAY: i64 = 250;
const CONNECTIONS: usize = 64;

/// One after the other, each when the one before it is shipped.
const IDLE_ORDERS: usize = 50;

/// An order that is not carried out in this time never will be.
const PATIENCE: Duration = Duration::from_mins(1);

const PART: &str = "lives";

/// What an order costs the database.
struct Cost {
    statements: f64,
    wal_bytes: f64,
}

pub async fn measure(system: &System, settings: &Settings, report: &mut Report) -> Result<()> {
    let db = &system.main.db;
    system.main.count_statements(true).await?;
    say("lives: what a minimal order costs");
    let minimal = minimal_cost(system, settings).await?;
    let (mut api, addr) = system.api(&system.main, &[]).await?;
    let tokens = shop::buyers(addr).await?;
    carry_out_what_is_left(system).await?;
    say("lives: one order at a time");
    let idle = measure_idle(system, addr, &tokens, settings).await?;
    let mut alone = None;
    let mut points = Vec::new();
    for workers in if settings.quick { vec![1] } else { vec![1, 2, 4] } {
        let pace = Arc::new(Semaphore::new(0));
        let load = Load {
            addr,
            connections: CONNECTIONS,
            expected: 201,
            ask: system.main.shop.orders(Buying::Spread, &tokens),
            pace: Some(pace.clone()),
        };
        let name = if workers == 1 { "1 worker".to_owned() } else { format!("{workers} workers") };
        say(format!("lives: {name}, {:?}", settings.long_time()));
        let running = system.workers(workers).await?;
        let (rate, cost, waits) = stream(system, settings, &load, &pace).await?;
        finish(running, db).await?;
        let alone = *alone.get_or_insert(rate);
        points.push((f64::from(u32::try_from(workers)?), rate));
        report.rows.extend([
            Row::new(PART, format!("placed to shipped, {name}"), rate, "a second").beside("1 worker", alone),
            Row::new(PART, format!("placed to paid while loaded, {name}, p50"), waits.0, "ms")
                .beside("idle", idle.0)
                .note(format!("{ON_THEIR_WAY} orders on their way at any time")),
            Row::new(PART, format!("placed to paid while loaded, {name}, p99"), waits.1, "ms").beside("idle", idle.1),
            Row::new(PART, format!("statements a life, {name}"), cost.statements, "")
                .beside("a minimal order's placing", minimal.statements),
            Row::new(PART, format!("WAL a life, {name}"), cost.wal_bytes, "bytes")
                .beside("a minimal order's placing", minimal.wal_bytes),
        ]);
    }
    report.rows.extend([
        Row::new(PART, "placed to paid while idle, p50", idle.0, "ms").beside("the simulated provider alone", 50.0),
        Row::new(PART, "placed to paid while idle, p99", idle.1, "ms").beside("the simulated provider alone", 50.0),
    ]);
    let curves = vec![Curve { name: "placed to shipped".into(), points }];
    report.plots.push(Plot { part: PART, title: "Whole lives".into(), x: "workers", y: "a second", curves });
    api.kill().await?;
    system.main.count_statements(false).await
}

/// Keeps so many orders on their way, and tells shipments a second, what they cost, and p50 and p99 from placed to paid.
async fn stream(
    system: &System,
    settings: &Settings,
    load: &Load,
    pace: &Arc<Semaphore>,
) -> Result<(f64, Cost, (f64, f64))> {
    let db = &system.main.db;
    let (pacing_db, permits) = (db.clone(), pace.clone());
    let pacing = tokio::spawn(async move { keep_on_their_way(&pacing_db, &permits).await });
    let lives = async {
        tokio::time::sleep(settings.warm_up() * 2).await;
        let before = Ledger::read(db).await?;
        tokio::time::sleep(settings.long_time()).await;
        let after = Ledger::read(db).await?;
        anyhow::Ok((before, after))
    };
    let (lives, _) = load.during(Instant::now(), lives).await?;
    pacing.abort();
    let (before, after) = lives?;
    ensure!(after.shipped > before.shipped, "no order was shipped");
    let shipped = after.shipped - before.shipped;
    let seconds = (after.at - before.at).as_secs_f64();
    let cost = Cost {
        statements: (after.statements - before.statements) / shipped,
        wal_bytes: (after.wal_bytes - before.wal_bytes) / shipped,
    };
    Ok((shipped / seconds, cost, waits(db, seconds).await?))
}

/// Lets as many new orders in as have been shipped.
async fn keep_on_their_way(db: &PgPool, permits: &Semaphore) -> Result<()> {
    loop {
        let open: i64 =
            sqlx::query_scalar("select count(*) from orders where status in ('pending', 'processing', 'paid')")
                .fetch_one(db)
                .await?;
        let room = ON_THEIR_WAY - open - i64::try_from(permits.available_permits())?;
        permits.add_permits(usize::try_from(room.max(0))?);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// What the database has done so far.
struct Ledger {
    at: Instant,
    shipped: f64,
    statements: f64,
    wal_bytes: f64,
}

impl Ledger {
    async fn read(db: &PgPool) -> Result<Self> {
        let (shipped, wal_bytes) = sqlx::query_as(
            "select (select count(*) from orders where status in ('shipped', 'delivered'))::float8,
                    pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8",
        )
        .fetch_one(db)
        .await?;
        Ok(Self { at: Instant::now(), shipped, statements: statements(db).await?, wal_bytes })
    }
}

/// From the order's row to its payment, of the orders that were paid in the last so many seconds; p50 and p99 in ms.
async fn waits(db: &PgPool, seconds: f64) -> Result<(f64, f64)> {
    let (p50, p99): (Option<f64>, Option<f64>) = sqlx::query_as(
        "select percentile_cont(0.5) within group (order by ms), percentile_cont(0.99) within group (order by ms)
           from (select extract(epoch from paid.created_at - o.created_at)::float8 * 1000 as ms
                   from order_events paid join orders o on o.id = paid.order_id
                  where paid.type = 'paid' and paid.created_at > clock_timestamp() - make_interval(secs => $1)) waits",
    )
    .bind(seconds)
    .fetch_one(db)
    .await?;
    Ok((p50.context("nothing was paid")?, p99.context("nothing was paid")?))
}

/// Orders that nobody else's stand in the way of.
async fn measure_idle(
    system: &System,
    addr: std::net::SocketAddr,
    tokens: &Arc<[String]>,
    settings: &Settings,
) -> Result<(f64, f64)> {
    let db = &system.main.db;
    let workers = system.workers(1).await?;
    let ask = system.main.shop.orders(Buying::Spread, tokens);
    let mut random = super::generator::Random::new(7);
    let mut connection = Connection::open(addr).await?;
    let mut request = Vec::new();
    let begin = Instant::now();
    for _ in 0..if settings.quick { IDLE_ORDERS / 5 } else { IDLE_ORDERS } {
        request.clear();
        ask(&mut random, &mut request);
        ensure!(connection.ask(&request).await?.status == 201, "an order was refused");
        until_none_is_open(db).await?;
    }
    let idle = waits(db, begin.elapsed().as_secs_f64()).await?;
    finish(workers, db).await?;
    Ok(idle)
}

async fn until_none_is_open(db: &PgPool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let open: bool =
            sqlx::query_scalar("select exists (select from orders where status in ('pending', 'processing', 'paid'))")
                .fetch_one(db)
                .await?;
        if !open {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "orders are not carried out within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Orders of the placing part have nobody who pays for them: their jobs are to disturb nothing here.
async fn carry_out_what_is_left(system: &System) -> Result<()> {
    let forget = "delete from jobs; update orders set status = 'cancelled' where status = 'pending'";
    sqlx::raw_sql(forget).execute(&system.main.db).await?;
    sqlx::raw_sql("vacuum (analyze) jobs, orders").execute(&system.main.db).await?;
    Ok(())
}

/// Waits for the end of what is under way, then asks the workers to stop, so that none leaves a lease behind.
async fn finish(workers: Vec<Process>, db: &PgPool) -> Result<()> {
    until_none_is_open(db).await?;
    for mut worker in workers {
        worker.stop().await?;
    }
    Ok(())
}

/// What one minimal order costs when a bare handler places it.
async fn minimal_cost(system: &System, settings: &Settings) -> Result<Cost> {
    let db = &system.main.db;
    let (_bare, addr) = system.bare(&system.main).await?;
    let ask = system.main.shop.minimal_orders(Buying::Spread);
    let load = Load { addr, connections: 16, expected: 201, ask, pace: None };
    let count = "select (select count(*) from minimal.orders)::float8";
    let placed = async || anyhow::Ok(sqlx::query_scalar::<_, f64>(count).fetch_one(db).await?);
    let (before, orders) = (Ledger::read(db).await?, placed().await?);
    load.during(Instant::now(), tokio::time::sleep(settings.time() / 2)).await?;
    let (after, orders) = (Ledger::read(db).await?, placed().await? - orders);
    Ok(Cost {
        statements: (after.statements - before.statements) / orders,
        wal_bytes: (after.wal_bytes - before.wal_bytes) / orders,
    })
}
