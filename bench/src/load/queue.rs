//! The queue's own measurements (`millrace-bench queue`), as rows of this report.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::Settings;
use super::system::System;
use crate::peers::Speed;
use crate::report::{Report, Row};

const PART: &str = "queue";

/// Runs it on a database of its own, and tells how fast we are: what peers are held against.
pub async fn measure(system: &System, settings: &Settings, report: &mut Report) -> Result<Speed> {
    fs::create_dir_all(&settings.out)?;
    let file = settings.out.join("queue.json");
    let status = Command::new(std::env::current_exe()?)
        .args(["queue", "--only", "rate,soon,scaling", "--worker"])
        .arg(system.worker_binary())
        .arg("--json")
        .arg(&file)
        .env("DATABASE_URL", system.create("queue").await?)
        .status()
        .await?;
    ensure!(status.success(), "the queue could not be measured");
    let lines: Vec<Value> = serde_json::from_str(&fs::read_to_string(&file)?)?;
    let mut alone = None;
    for line in &lines {
        let what = line["what"].as_str().unwrap_or_default();
        let number = |name: &str| line["values"][name].as_f64();
        if let Some(workers) = number("workers") {
            let rate = number("per_second").context("a rate")?;
            let alone = *alone.get_or_insert(rate);
            let note = line["beside"].as_str().unwrap_or_default();
            report.rows.push(
                Row::new(PART, format!("{what} ({workers:.0})"), rate, "a second").beside("1 worker", alone).note(note),
            );
        } else if let (Some(p50), Some(p99)) = (number("p50_ms"), number("p99_ms")) {
            let bare = |name: &str| number(name).unwrap_or_default();
            report.rows.extend([
                Row::new(PART, format!("{what}, p50"), p50, "ms").beside("bare BZMPOP", bare("bare_p50_ms")),
                Row::new(PART, format!("{what}, p99"), p99, "ms").beside("bare BZMPOP", bare("bare_p99_ms")),
            ]);
        } else if let Some(rate) = number("per_second") {
            let note = line["beside"].as_str().unwrap_or_default();
            report.rows.push(Row::new(PART, what, rate, "a second").note(note));
        }
    }
    let of = |name: &str| lines.iter().find_map(|line| line["values"][name].as_f64());
    Ok(Speed {
        per_second: of("per_second").context("no rate was measured")?,
        p50_ms: of("p50_ms").context("no wait was measured")?,
        p99_ms: of("p99_ms").context("no wait was measured")?,
    })
}
