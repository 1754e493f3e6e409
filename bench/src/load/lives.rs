//! Measures whole lives: real workers pay and ship a steady stream of orders.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use servers::process::Process;
use sqlx::PgPool;
use tokio::sync::Semaphore;

use super::generator::Load;
use super::http::Connection;
use super::requests::{self, Buying};
use super::settings::Settings;
use super::system::{System, statements};
use crate::queue::counts;
use crate::report::{Aim, Curve, Plot, Report, Row, say};

/// How many orders are open at any time. That keeps four workers busy, and the backlog does not grow.
const OPEN_ORDERS: i64 = 250;
const CONNECTIONS: usize = 64;

/// Workers of a shop with many orders have many slots (docs/performance.md). One is measured with the default of 32 too.
const MANY_SLOTS: WorkerSettings = &[("WORKER_CONCURRENCY", "256")];
type WorkerSettings = &'static [(&'static str, &'static str)];

/// A shop that is busy, and not overloaded: this share of the best rate.
const BUSY: f64 = 0.6;

/// Each of these orders is placed when the one before it is shipped.
const IDLE_ORDERS: usize = 50;

/// An order that is not shipped by then has failed.
const TIMEOUT: Duration = Duration::from_mins(1);

const PART: &str = "lives";

/// The cost of an order.
struct Cost {
    statements: f64,
    wal_bytes: f64,
    commits: f64,
    redis_commands: f64,
    /// Milliseconds: Postgres, Redis, the API, the workers.
    cpu: [f64; 4],
}

pub async fn measure(system: &System, settings: &Settings, report: &mut Report) -> Result<()> {
    let db = &system.main.db;
    system.main.count_statements(true).await?;
    say("lives: what a minimal order costs");
    let minimal = minimal_cost(system, settings).await?;
    let (mut api, addr) = system.api(&system.main, &[]).await?;
    let tokens = requests::buyers(addr).await?;
    let placing = placing_rate(system, addr, &tokens, settings).await?;
    remove_unfinished_orders(system).await?;
    say("lives: one order at a time");
    let idle = measure_idle(system, addr, &tokens, settings).await?;
    let (mut alone, mut best) = (None, (1, 0.0_f64));
    let mut points = Vec::new();
    for (name, workers, slots) in sizes(settings) {
        say(format!("lives: {name}, {:?}", settings.long_time()));
        let running = system.workers_with(workers, slots).await?;
        let pids: Vec<u32> = running.iter().filter_map(Process::pid).collect();
        let cpu = || system.cpu(api.pid(), &pids);
        let (rates, cost, waits) = stream(system, settings, &paced_orders(system, addr, &tokens), &cpu).await?;
        finish(running, db).await?;
        let is_default = slots.is_empty();
        let alone = if is_default { rates.shipped } else { *alone.get_or_insert(rates.shipped) };
        if !is_default || settings.quick {
            points.push((f64::from(u32::try_from(workers)?), rates.shipped));
            best = if rates.shipped > best.1 { (workers, rates.shipped) } else { best };
        }
        report.rows.extend(rows_of(name, (rates, alone), (waits, idle), (&cost, &minimal)));
    }
    say(format!("lives: {} workers at {BUSY} of the best rate", best.0));
    let busy = measure_busy(system, settings, &paced_orders(system, addr, &tokens), best).await?;
    report.rows.extend([
        Row::new(PART, "placed to shipped, best", best.1, "a second")
            .beside("placing, spread, no workers", placing)
            .aim(Aim::AtLeast(0.4)),
        Row::new(PART, "placed to paid at 60 % of the best rate, p50", busy.0, "ms")
            .beside("idle", idle.0)
            .aim(Aim::AtMost(1.5)),
        Row::new(PART, "placed to paid at 60 % of the best rate, p99", busy.1, "ms").beside("idle", idle.1),
        Row::new(PART, "placed to paid while idle, p50", idle.0, "ms").beside("the simulated provider alone", 50.0),
        Row::new(PART, "placed to paid while idle, p99", idle.1, "ms").beside("the simulated provider alone", 50.0),
    ]);
    let curves = vec![Curve { name: "placed to shipped".into(), points }];
    report.plots.push(Plot { part: PART, title: "Whole lives".into(), x: "workers", y: "a second", curves });
    api.kill().await?;
    system.main.count_statements(false).await
}

/// How many workers, and their settings.
fn sizes(settings: &Settings) -> Vec<(&'static str, usize, WorkerSettings)> {
    let few_slots = ("1 worker of 32 slots", 1, [].as_slice());
    if settings.quick {
        return vec![few_slots];
    }
    vec![few_slots, ("1 worker", 1, MANY_SLOTS), ("2 workers", 2, MANY_SLOTS), ("4 workers", 4, MANY_SLOTS)]
}

/// Orders a second. While deliveries keep up with shipments, no part of a life is put off.
#[derive(Clone, Copy)]
struct Rates {
    shipped: f64,
    delivered: f64,
}

/// The figures with some number of workers: the rate beside one worker's, the waits beside idle ones, the cost beside a minimal
/// order's.
fn rows_of(
    name: &str,
    (rates, alone): (Rates, f64),
    (waits, idle): ((f64, f64), (f64, f64)),
    (cost, minimal): (&Cost, &Cost),
) -> [Row; 9] {
    [
        Row::new(PART, format!("placed to shipped, {name}"), rates.shipped, "a second").beside("1 worker", alone),
        Row::new(PART, format!("delivered, {name}"), rates.delivered, "a second").beside("shipped", rates.shipped),
        Row::new(PART, format!("placed to paid while loaded, {name}, p50"), waits.0, "ms")
            .beside("idle", idle.0)
            .note(format!("{OPEN_ORDERS} open orders at any time")),
        Row::new(PART, format!("placed to paid while loaded, {name}, p99"), waits.1, "ms").beside("idle", idle.1),
        Row::new(PART, format!("CPU a life, {name}"), cost.cpu.iter().sum::<f64>(), "ms").note(format!(
            "Postgres {:.2}, Redis {:.2}, API {:.2}, workers {:.2}",
            cost.cpu[0], cost.cpu[1], cost.cpu[2], cost.cpu[3]
        )),
        Row::new(PART, format!("commits a life, {name}"), cost.commits, ""),
        Row::new(PART, format!("Redis commands a life, {name}"), cost.redis_commands, ""),
        Row::new(PART, format!("statements a life, {name}"), cost.statements, "")
            .beside("a minimal order's placing", minimal.statements),
        Row::new(PART, format!("WAL a life, {name}"), cost.wal_bytes, "bytes")
            .beside("a minimal order's placing", minimal.wal_bytes),
    ]
}

/// Orders that are placed when their load gets permits.
fn paced_orders(system: &System, addr: std::net::SocketAddr, tokens: &Arc<[String]>) -> Load {
    let ask = system.main.products.orders(Buying::Spread, tokens);
    Load { addr, connections: CONNECTIONS, expected: 201, ask, pace: Some(Arc::new(Semaphore::new(0))) }
}

/// Orders a second that the API places while no worker runs.
async fn placing_rate(
    system: &System,
    addr: std::net::SocketAddr,
    tokens: &Arc<[String]>,
    settings: &Settings,
) -> Result<f64> {
    let ask = system.main.products.orders(Buying::Spread, tokens);
    let load = Load { addr, connections: CONNECTIONS, expected: 201, ask, pace: None };
    Ok(load.run(settings.warm_up(), settings.time(), || Ok(())).await?.0.rate())
}

/// Keeps `OPEN_ORDERS` orders open. Returns the rates, the cost of an order, and p50 and p99 from placed to paid in ms.
async fn stream(
    system: &System,
    settings: &Settings,
    load: &Load,
    cpu: &impl Fn() -> Result<[f64; 4]>,
) -> Result<(Rates, Cost, (f64, f64))> {
    let db = &system.main.db;
    let (pacing_db, permits) = (db.clone(), load.pace.clone().context("the load has no pace")?);
    let pacing = tokio::spawn(async move { keep_orders_open(&pacing_db, &permits).await });
    let lives = async {
        tokio::time::sleep(settings.warm_up() * 2).await;
        let before = (Counters::read(system).await?, cpu()?);
        tokio::time::sleep(settings.long_time()).await;
        let after = (Counters::read(system).await?, cpu()?);
        anyhow::Ok((before, after))
    };
    let (lives, _) = load.during(Instant::now(), lives).await?;
    pacing.abort();
    let ((before, cpu_before), (after, cpu_after)) = lives?;
    ensure!(after.shipped > before.shipped, "no order was shipped");
    let shipped = after.shipped - before.shipped;
    let seconds = (after.at - before.at).as_secs_f64();
    let cost = Cost {
        statements: (after.statements - before.statements) / shipped,
        wal_bytes: (after.wal_bytes - before.wal_bytes) / shipped,
        commits: (after.commits - before.commits) / shipped,
        redis_commands: (after.redis_commands - before.redis_commands) / shipped,
        cpu: std::array::from_fn(|at| (cpu_after[at] - cpu_before[at]) * 1000.0 / shipped),
    };
    let rates = Rates { shipped: shipped / seconds, delivered: (after.delivered - before.delivered) / seconds };
    Ok((rates, cost, waits(db, seconds).await?))
}

/// p50 and p99 in ms from placed to paid, while orders arrive evenly.
async fn measure_busy(
    system: &System,
    settings: &Settings,
    load: &Load,
    (workers, best): (usize, f64),
) -> Result<(f64, f64)> {
    let db = &system.main.db;
    let running = system.workers_with(workers, MANY_SLOTS).await?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is small and positive")]
    let rate = (best * BUSY).max(1.0) as u16;
    let time = tokio::time::sleep(settings.warm_up() * 2 + settings.long_time());
    load.during(Instant::now(), load.keep_pace(rate, time)).await?;
    let waits = waits(db, settings.long_time().as_secs_f64()).await?;
    finish(running, db).await?;
    Ok(waits)
}

/// Gives a permit for a new order for each one that was shipped.
async fn keep_orders_open(db: &PgPool, permits: &Semaphore) -> Result<()> {
    loop {
        let open: i64 = sqlx::query_scalar(
            "select count(*) from orders where stage = 'unshipped' and status in ('pending', 'processing', 'paid')",
        )
        .fetch_one(db)
        .await?;
        let room = OPEN_ORDERS - open - i64::try_from(permits.available_permits())?;
        permits.add_permits(usize::try_from(room.max(0))?);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Counters of Postgres and Redis.
struct Counters {
    at: Instant,
    shipped: f64,
    delivered: f64,
    statements: f64,
    wal_bytes: f64,
    commits: f64,
    redis_commands: f64,
}

impl Counters {
    async fn read(system: &System) -> Result<Self> {
        let db = &system.main.db;
        let (shipped, delivered, wal_bytes, commits) = sqlx::query_as(
            "select (select count(*) from orders where stage in ('shipped', 'delivered'))::float8,
                    (select count(*) from orders where stage = 'delivered')::float8,
                    pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8,
                    (select xact_commit from pg_stat_database where datname = current_database())::float8",
        )
        .fetch_one(db)
        .await?;
        let redis_commands = counts::commands(&system.redis).await?;
        let statements = statements(db).await?;
        Ok(Self { at: Instant::now(), shipped, delivered, statements, wal_bytes, commits, redis_commands })
    }
}

/// p50 and p99 in ms from the order's row to its payment, for the orders that were paid in the last seconds.
pub async fn waits(db: &PgPool, seconds: f64) -> Result<(f64, f64)> {
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

/// Places one order at a time, so that no order waits for another one.
async fn measure_idle(
    system: &System,
    addr: std::net::SocketAddr,
    tokens: &Arc<[String]>,
    settings: &Settings,
) -> Result<(f64, f64)> {
    let db = &system.main.db;
    let workers = system.workers_with(1, MANY_SLOTS).await?;
    let ask = system.main.products.orders(Buying::Spread, tokens);
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
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let open: bool =
            sqlx::query_scalar("select exists (select from orders where stage = 'unshipped' and status in ('pending', 'processing', 'paid'))")
                .fetch_one(db)
                .await?;
        if !open {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "orders are not shipped within {TIMEOUT:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The placing part runs without workers. This removes its orders' jobs, which would disturb the measurement.
async fn remove_unfinished_orders(system: &System) -> Result<()> {
    let remove = "delete from jobs; update orders set status = 'cancelled' where status = 'pending'";
    sqlx::raw_sql(remove).execute(&system.main.db).await?;
    sqlx::raw_sql("vacuum (analyze) jobs, orders").execute(&system.main.db).await?;
    Ok(())
}

/// Waits until no order is open, and then stops the workers gracefully, so that no lease is left behind.
async fn finish(workers: Vec<Process>, db: &PgPool) -> Result<()> {
    until_none_is_open(db).await?;
    for mut worker in workers {
        worker.stop().await?;
    }
    Ok(())
}

/// The cost of a minimal order that the bare handler places.
async fn minimal_cost(system: &System, settings: &Settings) -> Result<Cost> {
    let db = &system.main.db;
    let (_bare, addr) = system.bare(&system.main).await?;
    let ask = system.main.products.minimal_orders(Buying::Spread, "/orders");
    let load = Load { addr, connections: 16, expected: 201, ask, pace: None };
    let count = "select (select count(*) from minimal.orders)::float8";
    let placed = async || anyhow::Ok(sqlx::query_scalar::<_, f64>(count).fetch_one(db).await?);
    let (before, orders) = (Counters::read(system).await?, placed().await?);
    load.during(Instant::now(), tokio::time::sleep(settings.time() / 2)).await?;
    let (after, orders) = (Counters::read(system).await?, placed().await? - orders);
    Ok(Cost {
        statements: (after.statements - before.statements) / orders,
        wal_bytes: (after.wal_bytes - before.wal_bytes) / orders,
        commits: (after.commits - before.commits) / orders,
        redis_commands: (after.redis_commands - before.redis_commands) / orders,
        cpu: [0.0; 4],
    })
}
