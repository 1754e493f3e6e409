//! The measurements of `millrace-bench queue` as rows of this report.

use anyhow::{Context, Result};

use super::settings::Settings;
use super::system::System;
use crate::peers::Speed;
use crate::queue::{self, Options, Part};
use crate::report::{Report, Row, say};

const PART: &str = "queue";

/// Measures the queue on a database of its own. Returns our speed, which is compared with other queues.
pub async fn measure(system: &System, settings: &Settings, report: &mut Report) -> Result<Speed> {
    say("queue: no-op jobs by real workers, idle latency, jobs that wait");
    let mut parts = vec![Part::Rate, Part::Soon];
    if !settings.quick {
        parts.push(Part::Scaling);
    }
    let database_url = system.create("queue").await?.into();
    let options = Options { database_url, bins: system.bins.clone(), parts, jobs: 0 };
    let lines = queue::measure(&system.home, &system.redis, &options).await?;
    let mut ours = Speed { per_second: Vec::new(), p50_ms: 0.0, p99_ms: 0.0 };
    for line in lines {
        let number = |name: &str| line.values[name].as_f64().with_context(|| format!("{}: no {name}", line.what));
        if line.values["p50_ms"].is_number() {
            // The last line measures from before the transaction. That figure is compared with other queues.
            (ours.p50_ms, ours.p99_ms) = (number("p50_ms")?, number("p99_ms")?);
            report.rows.extend([
                Row::new(PART, format!("{}, p50", line.what), ours.p50_ms, "ms")
                    .beside("bare BZMPOP", number("bare_p50_ms")?),
                Row::new(PART, format!("{}, p99", line.what), ours.p99_ms, "ms")
                    .beside("bare BZMPOP", number("bare_p99_ms")?),
            ]);
            continue;
        }
        let rate = number("per_second")?;
        if let Some(processes) = line.values["processes"].as_u64() {
            ours.per_second.push((u32::try_from(processes)?, rate));
        }
        let alone = rate / number("times_one")?;
        let row = Row::new(PART, line.what, rate, "a second").beside("1 worker", alone);
        report.rows.push(row.note(line.beside).details(line.values));
    }
    Ok(ours)
}
