//! Measures reading products with the cache off, with Redis only, and with both tiers, beside a bare handler that runs
//! one query.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;
use servers::home::free_port;
use servers::process::Process;
use tokio::sync::Semaphore;
use tokio::time::sleep_until;

use super::generator::{Load, Measured, RequestWriter};
use super::http::{self, Connection};
use super::requests::{self, Buying, ProductSet};
use super::settings::Settings;
use super::system::{System, statements};
use super::usage;
use crate::report::{Report, Row, say};

const CONNECTIONS: usize = 64;

/// Rounds of each measurement; the better one counts. All servers take turns, so that a slow minute of the machine
/// affects all.
const ROUNDS: u32 = 2;

/// Orders make cached products stale. Each order has two of them.
const ORDERS_PER_SECOND: u16 = 100;

const PART: &str = "reads";

/// The settings of the measured APIs, by name. The others are compared with the first.
const MODES: [(&str, &[(&str, &str)]); 3] =
    [("cache off", &[("CACHE", "off")]), ("Redis only", &[("CACHE_LOCAL_TTL", "0s")]), ("both tiers", &[])];

/// What is read, from the API and from the bare handler.
struct Case {
    what: String,
    ours: RequestWriter,
    theirs: RequestWriter,
    selling: bool,
    /// Lists are not cached.
    cached: bool,
}

/// A running server with its load. The bare handler has no metrics.
struct Server {
    process: Process,
    load: Load,
    metrics: Option<SocketAddr>,
}

/// The result of one measurement, with its cost.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Read {
    measured: Measured,
    cpu_us: f64,
    queries_each: f64,
    /// Share of all lookups in the cache.
    hits_process: f64,
    hits_redis: f64,
}

pub async fn measure(system: &System, settings: &Settings, report: &mut Report) -> Result<()> {
    system.main.count_statements(true).await?;
    let products = &system.main.products;
    let case = |what: &str, ask: &dyn Fn(&'static str) -> RequestWriter| Case {
        what: what.to_owned(),
        ours: ask("/v1"),
        theirs: ask(""),
        selling: false,
        cached: true,
    };
    let spread = |root| products.product(root);
    let cases = [
        case("one of 10,000 products", &spread),
        Case { selling: true, ..case(&format!("the same, {ORDERS_PER_SECOND} orders a second meanwhile"), &spread) },
        case("always the same product", &|root| products.hot_product(root)),
        Case { cached: false, ..case("a list of 20", &ProductSet::list) },
    ];
    // With --quick only the second case, which covers everything.
    let cases = if settings.quick { &cases[1..2] } else { &cases[..] };
    let mut servers = start(system, &cases[0]).await?;
    // A separate API places the orders. So the measured APIs must detect its changes, and its statements are not
    // counted among theirs.
    let uncounted = format!("{}&options[pg_stat_statements.track]=none", system.main.url);
    let (_selling, sells) = system.api(&system.main, &[("DATABASE_URL", &uncounted)]).await?;
    let tokens = requests::buyers(sells).await?;
    for case in cases {
        let servers = if case.cached { &mut servers[..] } else { &mut servers[..2] };
        let mut best = vec![Read::default(); servers.len()];
        for round in 1..=if settings.quick { 1 } else { ROUNDS } {
            say(format!("reads: {}, round {round}", case.what));
            for (number, (server, best)) in servers.iter_mut().zip(&mut best).enumerate() {
                server.load.ask = if number == 0 { case.theirs.clone() } else { case.ours.clone() };
                let selling = case.selling.then(|| Load {
                    addr: sells,
                    expected: 201,
                    ask: products.orders(Buying::Spread, &tokens),
                    pace: Some(Arc::new(Semaphore::new(0))),
                    ..server.load.clone()
                });
                let read = read(system, settings, server, selling.as_ref()).await?;
                if read.measured.rate() > best.measured.rate() {
                    *best = read;
                }
            }
        }
        report_case(&case.what, &best, report);
    }
    system.main.count_statements(false).await
}

/// Starts the bare handler, and an API for each mode.
async fn start(system: &System, case: &Case) -> Result<Vec<Server>> {
    let load = |addr, ask: &RequestWriter| Load {
        addr,
        connections: CONNECTIONS,
        expected: 200,
        ask: ask.clone(),
        pace: None,
    };
    let (bare, addr) = system.bare(&system.main).await?;
    let mut servers = vec![Server { process: bare, load: load(addr, &case.theirs), metrics: None }];
    for (_, set) in MODES {
        let metrics = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let told = metrics.to_string();
        let set: Vec<(&str, &str)> = set.iter().copied().chain([("METRICS_ADDR", &*told)]).collect();
        let (process, addr) = system.api(&system.main, &set).await?;
        servers.push(Server { process, load: load(addr, &case.ours), metrics: Some(metrics) });
    }
    Ok(servers)
}

async fn read(system: &System, settings: &Settings, server: &Server, selling: Option<&Load>) -> Result<Read> {
    let from = Instant::now() + settings.warm_up();
    let until = from + settings.time() / ROUNDS;
    let Server { process, load, metrics } = server;
    let pid = process.pid().context("it has ended")?;
    let reading = load.during(from, async {
        sleep_until(from.into()).await;
        let before = Counts::read(system, pid, *metrics).await?;
        sleep_until(until.into()).await;
        anyhow::Ok((before, Counts::read(system, pid, *metrics).await?))
    });
    let (counts, measured) = match selling {
        Some(orders) => orders.during(from, orders.keep_pace(ORDERS_PER_SECOND, reading)).await?.0?,
        None => reading.await?,
    };
    let (before, after) = counts?;
    // Answers between the two readings of the counters. The readings take time themselves.
    let answered = measured.rate() * (after.at - before.at).as_secs_f64();
    let asked = after.asked() - before.asked();
    let share = |of: f64| if asked > 0.0 { of / asked } else { 0.0 };
    Ok(Read {
        measured,
        cpu_us: (after.cpu_seconds - before.cpu_seconds) * 1e6 / answered,
        queries_each: (after.statements - before.statements) / answered,
        hits_process: share(after.process - before.process),
        hits_redis: share(after.redis - before.redis),
    })
}

/// Counters of a process and its database.
struct Counts {
    at: Instant,
    cpu_seconds: f64,
    statements: f64,
    process: f64,
    redis: f64,
    misses: f64,
}

impl Counts {
    async fn read(system: &System, pid: u32, metrics: Option<SocketAddr>) -> Result<Self> {
        let mut page = String::new();
        if let Some(metrics) = metrics {
            let mut request = Vec::new();
            http::write(&mut request, "/metrics", None, None);
            // A new connection each time: the server closes one that is idle.
            let mut metrics = Connection::open(metrics).await?;
            page = String::from_utf8_lossy(metrics.ask(&request).await?.body).into_owned();
        }
        let of = |name: &str| {
            let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            value.unwrap_or_default() // What was never counted is not shown.
        };
        Ok(Self {
            statements: statements(&system.main.db).await?,
            at: Instant::now(),
            cpu_seconds: usage::of(pid)?.cpu_seconds,
            process: of("millrace_cache_hits_total{tier=\"process\"}"),
            redis: of("millrace_cache_hits_total{tier=\"redis\"}"),
            misses: of("millrace_cache_misses_total"),
        })
    }

    fn asked(&self) -> f64 {
        self.process + self.redis + self.misses
    }
}

fn report_case(what: &str, reads: &[Read], report: &mut Report) {
    let [bare, ours @ ..] = reads else { return };
    let [off, ..] = ours else { return };
    for ((mode, _), read) in MODES.iter().zip(ours) {
        let Read { measured, cpu_us, .. } = read;
        let note = format!(
            "p50 {:.1} ms, p99 {:.1} ms, {} errors, {cpu_us:.0} µs of CPU a request; bare p50 {:.1} ms, p99 {:.1} ms",
            measured.p50_ms, measured.p99_ms, measured.errors, bare.measured.p50_ms, bare.measured.p99_ms
        );
        report.rows.push(
            Row::new(PART, format!("{what}, {mode}"), measured.rate(), "a second")
                .beside("bare handler, one query", bare.measured.rate())
                .note(note)
                .details(json!({ "ours": read, "bare": bare })),
        );
    }
    for ((mode, _), read) in MODES.iter().zip(ours).skip(1) {
        let row = |figure: &str, value: f64, unit, beside: f64| {
            Row::new(PART, format!("{what}, {mode}: {figure}"), value, unit).beside("cache off", beside)
        };
        let found =
            format!("{:.1} % in the process, {:.1} % in Redis", 100.0 * read.hits_process, 100.0 * read.hits_redis);
        report.rows.extend([
            row("rate", read.measured.rate(), "a second", off.measured.rate()),
            row("p50", read.measured.p50_ms, "ms", off.measured.p50_ms),
            row("p99", read.measured.p99_ms, "ms", off.measured.p99_ms),
            row("database queries a read", read.queries_each, "", off.queries_each).note(found),
            Row::new(PART, format!("{what}, {mode}: hit rate"), 100.0 * (read.hits_process + read.hits_redis), "%"),
        ]);
    }
}
