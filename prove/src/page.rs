//! The report as an HTML page: verdict, figures, and a timeline of the faults. The page needs no other file and no
//! network.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Result;
use chrono::{DateTime, Utc};

use crate::report::Report;
use crate::verdict::Check;

const WIDTH: f64 = 1000.0;
/// Width of the column with the names of the faults.
const LEFT: f64 = 150.0;
const CHART: f64 = 150.0;
const ROW: f64 = 18.0;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1d2330; --dim: #6b7386; --rule: #d9dee8; --paper: #fff;
        --orders: #3b82c4; --jobs: #e0912f; --fault: #b4483f; --ok: #2c8a57; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9f0; --dim: #98a1b5; --rule: #333b4b; --paper: #141821;
        --fault: #e07a70; --ok: #5cc48d; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 1040px; margin: 2.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem }
p, td.of { color: var(--dim) } .ok { color: var(--ok) } .bad { color: var(--fault); font-weight: 600 }
table { border-collapse: collapse; width: 100% } td { border-top: 1px solid var(--rule); padding: .25rem .6rem .25rem 0;
       vertical-align: top } td:first-child { white-space: nowrap }
pre { white-space: pre-wrap; word-break: break-all; font-size: 12px; margin: .2rem 0 }
svg { width: 100%; height: auto } svg text { font: 11px system-ui, sans-serif; fill: var(--dim) }
.orders { fill: var(--orders) } .jobs { fill: none; stroke: var(--jobs); stroke-width: 1.5 }
.fault { fill: var(--fault); opacity: .75 } .grid { stroke: var(--rule) } .key { font-weight: 600 }
";

/// Writes report.html and report.json into a folder.
pub fn save(report: &Report, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("report.json"), serde_json::to_vec_pretty(report)?)?;
    fs::write(dir.join("report.html"), html(report))?;
    println!("Report: {} and report.json", dir.join("report.html").display());
    Ok(())
}

fn html(report: &Report) -> String {
    let run = &report.run;
    let broken = report.verdict.iter().filter(|check| !check.offenders.is_empty()).count();
    let (class, verdict) = match broken {
        0 => ("ok", format!("All {} promises were kept.", report.verdict.len())),
        _ => ("bad", format!("{broken} of {} promises were broken.", report.verdict.len())),
    };
    let sabotage = match run.sabotage.as_slice() {
        [] => String::new(),
        kinds => format!(" Sabotage: {kinds:?}."),
    };
    let figures = report.figures.iter().map(|(what, figure)| row(&[what, figure])).collect::<String>();
    let faults = report.faults_by_kind.iter().map(|(kind, count)| row(&[kind, &count.to_string()])).collect::<String>();
    let lines = report.verdict.iter().map(verdict_row).collect::<String>();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Millrace: chaos run {seed}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style>\
         <h1>Millrace: a chaos run</h1><p>Seed {seed}, {seconds} seconds, begun {begun}.{sabotage}</p>\
         <p class=\"{class}\">{verdict}</p>{timeline}\
         <h2>Verdict</h2><table>{lines}</table><h2>Figures</h2><table>{figures}</table>\
         <h2>Faults</h2><table>{faults}</table></html>\n",
        seed = run.seed,
        seconds = run.seconds,
        begun = run.begun.format("%Y-%m-%d %H:%M:%S UTC"),
        timeline = timeline(report),
    )
}

fn row(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
    format!("<tr><td>{}</td></tr>", cells.join("</td><td>"))
}

fn verdict_row(Check { name, scope, offenders }: &Check) -> String {
    let name = escaped(&name.replace('_', " "));
    let scope = escaped(scope);
    if offenders.is_empty() {
        return format!("<tr><td>{name}</td><td class=\"ok\">kept</td><td class=\"of\">{scope}</td></tr>");
    }
    let shown: Vec<String> = offenders.iter().take(10).map(|one| escaped(&one.to_string())).collect();
    let shown = shown.join("\n");
    format!(
        "<tr><td>{name}</td><td class=\"bad\">broken by {}</td><td>{scope}<pre>{shown}</pre></td></tr>",
        offenders.len()
    )
}

/// The timeline: orders a second as bars, jobs a second as a line, and below them one row for each kind of fault.
fn timeline(report: &Report) -> String {
    let count = |things: usize| u32::try_from(things).unwrap_or(u32::MAX);
    let seconds = count(report.orders_each_second.len().max(report.jobs_each_second.len()).max(1));
    let most = report.orders_each_second.iter().chain(&report.jobs_each_second).max().copied().unwrap_or(1).max(1);
    let scale = (WIDTH - LEFT) / f64::from(seconds);
    let x = |second: f64| LEFT + second * scale;
    let y = |count: u32| CHART - f64::from(count) / f64::from(most) * (CHART - 15.0);
    let height = CHART + 40.0 + ROW * f64::from(count(report.faults_by_kind.len()));

    let mut svg = format!("<h2>FaultKind happened when</h2><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    let mut add = |part: String| svg.push_str(&part);
    for second in (0..seconds).step_by(usize::try_from(seconds / 12).unwrap_or(1).max(1)) {
        let at = x(second.into());
        add(format!("<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"0\" y2=\"{height:.0}\"/>"));
        add(format!("<text x=\"{:.1}\" y=\"{:.0}\">{second} s</text>", at + 3.0, CHART + 13.0));
    }
    for (second, count) in (0_u32..).zip(&report.orders_each_second) {
        let (left, top) = (x(second.into()), y(*count));
        let (width, high) = (scale * 0.8, CHART - top);
        add(format!(
            "<rect class=\"orders\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{high:.1}\"/>"
        ));
    }
    let points = (0_u32..).zip(&report.jobs_each_second).fold(String::new(), |mut points, (second, count)| {
        write!(points, "{:.1},{:.1} ", x(f64::from(second) + 0.5), y(*count)).expect("a string can be written to");
        points
    });
    add(format!("<polyline class=\"jobs\" points=\"{points}\"/>"));
    add(format!(
        "<text class=\"key\" x=\"{LEFT}\" y=\"11\">orders placed (bars) and jobs done (line) each second, at most {most}</text>"
    ));

    let second_of = |at: DateTime<Utc>| (at - report.run.begun).as_seconds_f64();
    for (row, kind) in (0_u32..).zip(report.faults_by_kind.keys()) {
        let top = CHART + 24.0 + ROW * f64::from(row);
        for fault in report.faults.iter().filter(|fault| fault.kind == *kind) {
            let (from, to) = (x(second_of(fault.from)), x(second_of(fault.to)));
            let what = escaped(&format!("{} at {:.1} s", fault.what, second_of(fault.from)));
            add(format!(
                "<rect class=\"fault\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.0}\"><title>{what}</title></rect>",
                (to - from).max(2.0),
                ROW - 5.0,
            ));
        }
        add(format!("<text x=\"4\" y=\"{:.1}\">{}</text>", top + 10.0, escaped(kind)));
    }
    svg + "</svg>"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
