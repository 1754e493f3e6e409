//! Measures placing orders of two lines over HTTP, beside the bare handler (one order per transaction) and a stored
//! function. No workers run.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::json;
use tokio::process::Command;

use super::generator::{Load, Measured};
use super::requests::{self, Buying};
use super::settings::Settings;
use super::system::{ResourceUse, System};
use crate::report::{Aim, Curve, Plot, Report, Row, say};

const CONNECTIONS: [usize; 5] = [1, 16, 64, 256, 1000];
const CONNECTIONS_QUICK: [usize; 2] = [16, 256];

/// Rounds of each measurement; the better one counts. Our server and the bare handler take turns, so that a slow minute
/// of the machine affects both.
const ROUNDS: u32 = 2;

const PART: &str = "placing";

/// The result of one load on one server.
#[derive(Serialize)]
struct Point {
    connections: usize,
    measured: Measured,
    before: ResourceUse,
    after: ResourceUse,
}

impl Point {
    /// CPU time per order, by process.
    fn cpu(&self) -> String {
        let each =
            |before: f64, after: f64| (after - before) * 1e6 / (self.measured.rate() * self.measured.seconds).max(1.0);
        let (before, after) = (&self.before, &self.after);
        format!(
            "µs of CPU an order: server {:.0}, Postgres {:.0}, Redis {:.0}, generator {:.0}",
            each(before.server.cpu_seconds, after.server.cpu_seconds),
            each(before.postgres.cpu_seconds, after.postgres.cpu_seconds),
            each(before.redis.cpu_seconds, after.redis.cpu_seconds),
            each(before.generator.cpu_seconds, after.generator.cpu_seconds),
        )
    }

    fn memory(&self) -> String {
        format!(
            "MiB: server {:.0}, Postgres {:.0}, Redis {:.0}, generator {:.0}",
            self.after.server.memory_mib,
            self.after.postgres.memory_mib,
            self.after.redis.memory_mib,
            self.after.generator.memory_mib,
        )
    }

    fn describe(&self) -> String {
        let Measured { p50_ms, p99_ms, errors, .. } = self.measured;
        format!("p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms, {errors} errors")
    }
}

/// The results of our API and of the bare handler for each number of connections.
struct Curves {
    ours: Vec<Point>,
    theirs: Vec<Point>,
}

impl Curves {
    fn best(points: &[Point]) -> Result<&Point> {
        let by_rate = |a: &&Point, b: &&Point| a.measured.rate().total_cmp(&b.measured.rate());
        points.iter().max_by(by_rate).context("something was measured")
    }

    /// Rate and p99 over the number of connections.
    fn plots(&self, buying: Buying) -> [Plot; 2] {
        let curve = |name: &str, points: &[Point], y: fn(&Measured) -> f64| {
            let points = points.iter().map(|point| (as_x(point.connections), y(&point.measured))).collect();
            Curve { name: name.into(), points }
        };
        let plot = |title: &str, unit, y: fn(&Measured) -> f64| Plot {
            part: PART,
            title: format!("{title}, {}", buying.name()),
            x: "connections",
            y: unit,
            curves: vec![
                curve("Millrace", &self.ours, y),
                curve("one order per transaction behind a bare handler", &self.theirs, y),
            ],
        };
        [plot("Orders placed", "a second", Measured::rate), plot("99 of 100 answers came within", "ms", |it| it.p99_ms)]
    }
}

pub async fn measure(system: &System, settings: &Settings, report: &mut Report) -> Result<()> {
    let (spread, spread_function) = measure_buying(system, settings, Buying::Spread, report).await?;
    let (hot, hot_function) = measure_buying(system, settings, Buying::Hot, report).await?;
    let (best_spread, best_hot) = (Curves::best(&spread.ours)?, Curves::best(&hot.ours)?);
    let (bare_spread, bare_hot) = (Curves::best(&spread.theirs)?, Curves::best(&hot.theirs)?);
    let rate = |point: &Point| point.measured.rate();
    let at = |point: &Point| format!("at {} connections", point.connections);
    let most = spread.ours.iter().chain(&hot.ours).filter(|point| point.connections >= 256);
    let (mut errors, mut p99, mut memory) = (0, 0.0_f64, 0.0_f64);
    for point in most {
        errors += point.measured.errors;
        p99 = p99.max(point.measured.p99_ms);
        memory = memory.max(point.after.server.memory_mib);
    }
    report.rows.extend([
        Row::new(PART, format!("spread, best {}", at(best_spread)), rate(best_spread), "a second")
            .beside(format!("bare handler, best {}", at(bare_spread)), rate(bare_spread))
            .aim(Aim::AtLeast(1.5)),
        Row::new(PART, format!("hot product, best {}", at(best_hot)), rate(best_hot), "a second")
            .beside(format!("bare handler, best {}", at(bare_hot)), rate(bare_hot))
            .aim(Aim::AtLeast(4.0)),
        Row::new(PART, "hot product, best", rate(best_hot), "a second")
            .beside("spread, best", rate(best_spread))
            .aim(Aim::AtLeast(0.9)),
        Row::new(PART, "spread, best", rate(best_spread), "a second")
            .beside("stored function, pgbench -c 16 -j 2", spread_function),
        Row::new(PART, "hot product, best", rate(best_hot), "a second")
            .beside("stored function, pgbench -c 16 -j 2", hot_function),
        Row::new(PART, "errors with the most connections", errors_as_figure(errors), "").aim(Aim::AtMost(0.0)),
        Row::new(PART, "p99 with the most connections", p99, "ms").aim(Aim::AtMost(400.0)),
        Row::new(PART, "memory of the API with the most connections", memory, "MiB").aim(Aim::AtMost(100.0)),
    ]);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "nobody makes 2^52 errors")]
fn errors_as_figure(errors: u64) -> f64 {
    errors as f64
}

async fn measure_buying(
    system: &System,
    settings: &Settings,
    buying: Buying,
    report: &mut Report,
) -> Result<(Curves, f64)> {
    let (api, addr) = system.api(&system.main, &[]).await?;
    let (bare, bare_addr) = system.bare(&system.main).await?;
    let tokens = requests::buyers(addr).await?;
    let products = &system.main.products;
    let (api_pid, bare_pid) =
        (api.pid().context("the API has ended")?, bare.pid().context("the bare handler has ended")?);
    let mut curves = Curves { ours: Vec::new(), theirs: Vec::new() };
    let connections: &[usize] = if settings.quick { &CONNECTIONS_QUICK } else { &CONNECTIONS };
    let mut function = 0.0_f64;
    for &connections in connections {
        let ours = Load { addr, connections, expected: 201, ask: products.orders(buying, &tokens), pace: None };
        let theirs =
            Load { addr: bare_addr, connections, expected: 201, ask: products.minimal_orders(buying), pace: None };
        say(format!("placing: {}, {connections} connections, beside the bare handler", buying.name()));
        let (our, their) = take_turns(system, settings, (&ours, api_pid), (&theirs, bare_pid)).await?;
        if connections == 16 {
            function = stored_function(system, settings, buying).await?;
        }
        report.rows.push(row(buying, &our, &their));
        curves.ours.push(our);
        curves.theirs.push(their);
    }
    report.plots.extend(curves.plots(buying));
    Ok((curves, function))
}

/// Our rate beside the bare handler's, for one number of connections.
fn row(buying: Buying, our: &Point, their: &Point) -> Row {
    let what = format!("{}, {} connections", buying.name(), our.connections);
    let (ours, bare) = (our.describe(), their.describe());
    let note = format!("{ours}; {}; {}. Bare: {bare}; {}", our.cpu(), our.memory(), their.cpu());
    Row::new(PART, what, our.measured.rate(), "a second")
        .beside("bare handler", their.measured.rate())
        .note(note)
        .details(json!({ "ours": our, "bare": their }))
}

#[expect(clippy::cast_precision_loss, reason = "it is at most some thousands")]
fn as_x(connections: usize) -> f64 {
    connections as f64
}

/// Measures both in turns, and keeps the better result of each.
async fn take_turns(
    system: &System,
    settings: &Settings,
    ours: (&Load, u32),
    theirs: (&Load, u32),
) -> Result<(Point, Point)> {
    let (mut our, mut their) = (None, None);
    for _ in 0..if settings.quick { 1 } else { ROUNDS } {
        keep_better(&mut our, point(system, settings, ours).await?);
        keep_better(&mut their, point(system, settings, theirs).await?);
    }
    Ok((our.context("there are rounds")?, their.context("there are rounds")?))
}

fn keep_better(best: &mut Option<Point>, mut point: Point) {
    if let Some(earlier) = best.take() {
        point.measured.errors += earlier.measured.errors; // Errors of the worse round count too.
        if earlier.measured.rate() > point.measured.rate() {
            point = Point { measured: Measured { errors: point.measured.errors, ..earlier.measured }, ..earlier };
        }
    }
    *best = Some(point);
}

async fn point(system: &System, settings: &Settings, (load, pid): (&Load, u32)) -> Result<Point> {
    let (measured, before, after) =
        load.run(settings.warm_up(), settings.time() / ROUNDS, || system.resource_use(pid)).await?;
    Ok(Point { connections: load.connections, measured, before, after })
}

/// Orders a second by a stored function through pgbench: the minimum that Postgres itself needs, without HTTP and JSON.
async fn stored_function(system: &System, settings: &Settings, buying: Buying) -> Result<f64> {
    let one = match buying {
        Buying::Spread => "random(1, 10000)",
        Buying::Hot => "10000",
    };
    let script = format!(
        "\\set one {one}\n\\set other 1 + mod(:one + random(0, 9998), 10000)\nselect minimal.place(:one, :other);\n"
    );
    let file = system.home.dir.join("pgbench.sql");
    std::fs::write(&file, script)?;
    let seconds = settings.time().as_secs().max(1).to_string();
    let ran = Command::new("pgbench")
        .args(["-n", "-M", "prepared", "-c", "16", "-j", "2", "-T", &seconds, "-f"])
        .arg(&file)
        .arg(&system.main.url)
        .kill_on_drop(true)
        .output()
        .await;
    let output = ran.context("pgbench; Debian has it in postgresql")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = ")).context("pgbench tells no rate")?;
    Ok(tps.split_whitespace().next().unwrap_or_default().parse()?)
}
