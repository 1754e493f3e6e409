//! Measures placing orders of two lines over HTTP, beside two bare handlers with one order per transaction: one that runs
//! several statements, and one that calls a stored function. No workers run.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;

use super::generator::{Load, Measured};
use super::requests::{self, Buying};
use super::settings::Settings;
use super::system::{ResourceUse, System};
use crate::report::{Aim, Curve, Plot, Report, Row, say};

const CONNECTIONS: [usize; 5] = [1, 16, 64, 256, 1000];
const CONNECTIONS_QUICK: [usize; 2] = [16, 256];

/// Rounds of each measurement; the better one counts. Our server and the bare handlers take turns, so that a slow minute
/// of the machine affects all.
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

/// Who places orders: our API, and the two bare handlers.
const CONTENDERS: [&str; 3] =
    ["Millrace", "bare handler with several statements", "bare handler with a stored function"];

/// The results of each contender, for each number of connections.
#[derive(Default)]
struct Curves([Vec<Point>; CONTENDERS.len()]);

impl Curves {
    fn best(points: &[Point]) -> Result<&Point> {
        let by_rate = |a: &&Point, b: &&Point| a.measured.rate().total_cmp(&b.measured.rate());
        points.iter().max_by(by_rate).context("something was measured")
    }

    /// With the fewest connections, and with the most.
    fn ends(points: &[Point]) -> Result<(&Point, &Point)> {
        points.first().zip(points.last()).context("something was measured")
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
            curves: CONTENDERS.iter().zip(&self.0).map(|(name, points)| curve(name, points, y)).collect(),
        };
        [plot("Orders placed", "a second", Measured::rate), plot("99 of 100 answers came within", "ms", |it| it.p99_ms)]
    }

    /// Our figures beside those of the stored function, which is the strongest rival, and with one connection beside the
    /// statements too.
    fn rows(&self, buying: Buying, aims: &Aims) -> Result<Vec<Row>> {
        let [ours, statements, function] = &self.0;
        let (best, their_best) = (Self::best(ours)?, Self::best(function)?);
        let ((one, most), (function_one, function_most)) = (Self::ends(ours)?, Self::ends(function)?);
        let (statements_one, _) = Self::ends(statements)?;
        let name = |what: &str| format!("{}, {what}", buying.name());
        Ok(vec![
            Row::new(
                PART,
                name(&format!("best, at {} connections", best.connections)),
                best.measured.rate(),
                "a second",
            )
            .beside(format!("stored function, at {} connections", their_best.connections), their_best.measured.rate())
            .aim(Aim::AtLeast(aims.rate)),
            Row::new(PART, name(&format!("p99, {} connections", most.connections)), most.measured.p99_ms, "ms")
                .beside("stored function", function_most.measured.p99_ms)
                .aim(Aim::AtMost(aims.p99)),
            Row::new(PART, name(&format!("{} connection", one.connections)), one.measured.rate(), "a second")
                .beside("several statements", statements_one.measured.rate())
                .aim(Aim::AtLeast(0.8)),
            Row::new(PART, name(&format!("{} connection", one.connections)), one.measured.rate(), "a second")
                .beside("stored function", function_one.measured.rate()),
        ])
    }
}

/// What we want to reach beside the stored function.
struct Aims {
    rate: f64,
    p99: f64,
}

pub async fn measure(system: &System, settings: &Settings, report: &mut Report) -> Result<()> {
    let spread = measure_buying(system, settings, Buying::Spread, report).await?;
    let hot = measure_buying(system, settings, Buying::Hot, report).await?;
    report.rows.extend(spread.rows(Buying::Spread, &Aims { rate: 1.2, p99: 1.0 })?);
    report.rows.extend(hot.rows(Buying::Hot, &Aims { rate: 3.5, p99: 0.4 })?);
    let ([spread, ..], [hot, ..]) = (&spread.0, &hot.0);
    let (best_spread, best_hot) = (Curves::best(spread)?.measured.rate(), Curves::best(hot)?.measured.rate());
    let (mut errors, mut p99, mut memory) = (0, 0.0_f64, 0.0_f64);
    for point in spread.iter().chain(hot).filter(|point| point.connections >= 256) {
        errors += point.measured.errors;
        p99 = p99.max(point.measured.p99_ms);
        memory = memory.max(point.after.server.memory_mib);
    }
    report.rows.extend([
        Row::new(PART, "hot product, best", best_hot, "a second")
            .beside("spread, best", best_spread)
            .aim(Aim::AtLeast(0.9)),
        Row::new(PART, "errors with the most connections", errors_as_figure(errors), "").aim(Aim::AtMost(0.0)),
        Row::new(PART, "p99 with the most connections", p99, "ms").aim(Aim::AtMost(400.0)),
        Row::new(PART, "memory of the API with the most connections", memory, "MiB").aim(Aim::AtMost(100.0)),
    ]);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "no run has 2^52 errors")]
fn errors_as_figure(errors: u64) -> f64 {
    errors as f64
}

async fn measure_buying(system: &System, settings: &Settings, buying: Buying, report: &mut Report) -> Result<Curves> {
    let (api, addr) = system.api(&system.main, &[]).await?;
    let (bare, bare_addr) = system.bare(&system.main).await?;
    let tokens = requests::buyers(addr).await?;
    let products = &system.main.products;
    let (api_pid, bare_pid) =
        (api.pid().context("the API has ended")?, bare.pid().context("the bare handler has ended")?);
    let mut curves = Curves::default();
    let connections: &[usize] = if settings.quick { &CONNECTIONS_QUICK } else { &CONNECTIONS };
    for &connections in connections {
        let load = |addr, ask| Load { addr, connections, expected: 201, ask, pace: None };
        let loads = [
            (load(addr, products.orders(buying, &tokens)), api_pid),
            (load(bare_addr, products.minimal_orders(buying, "/orders")), bare_pid),
            (load(bare_addr, products.minimal_orders(buying, "/function/orders")), bare_pid),
        ];
        say(format!("placing: {}, {connections} connections, beside the bare handlers", buying.name()));
        let points = take_turns(system, settings, &loads).await?;
        report.rows.push(row(buying, &points));
        for (curve, point) in curves.0.iter_mut().zip(points) {
            curve.push(point);
        }
    }
    report.plots.extend(curves.plots(buying));
    Ok(curves)
}

/// Our rate beside the stored function's, for one number of connections.
fn row(buying: Buying, points: &[Point; CONTENDERS.len()]) -> Row {
    let [our, statements, function] = points;
    let what = format!("{}, {} connections", buying.name(), our.connections);
    let note = format!("{}; {}; {}. ", our.describe(), our.cpu(), our.memory())
        + &format!("Function: {}; {}. ", function.describe(), function.cpu())
        + &format!("Statements: {:.0} a second; {}", statements.measured.rate(), statements.describe());
    Row::new(PART, what, our.measured.rate(), "a second")
        .beside("stored function", function.measured.rate())
        .note(note)
        .details(json!({ "ours": our, "statements": statements, "function": function }))
}

#[expect(clippy::cast_precision_loss, reason = "it is at most some thousands")]
fn as_x(connections: usize) -> f64 {
    connections as f64
}

/// Measures all in turns, and keeps the better result of each.
async fn take_turns(
    system: &System,
    settings: &Settings,
    loads: &[(Load, u32); CONTENDERS.len()],
) -> Result<[Point; CONTENDERS.len()]> {
    let mut best = [const { None }; CONTENDERS.len()];
    for _ in 0..if settings.quick { 1 } else { ROUNDS } {
        for (best, (load, pid)) in best.iter_mut().zip(loads) {
            keep_better(best, point(system, settings, (load, *pid)).await?);
        }
    }
    Ok(best.map(|point| point.expect("there are rounds")))
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
