//! `./dev bench`: measures the real binaries under load. Each figure stands beside another one that was measured in the
//! same run on the same machine. It starts its own servers and processes, with `fsync` on.

mod archive;
pub mod bare;
pub mod consoles;
mod generator;
mod growth;
mod http;
mod lives;
mod placing;
mod queue;
mod reads;
mod requests;
mod sale;
pub mod settings;
pub mod soak;
pub mod system;
pub mod usage;
mod webhooks;

use std::time::Instant;

use anyhow::Result;
use servers::home::Home;

use self::settings::{Part, Settings};
use self::system::System;
use crate::peers;
use crate::report::{Report, say};

/// Measures the chosen parts, prints the table and writes the report.
pub async fn run(settings: &Settings) -> Result<()> {
    let start = Instant::now();
    if settings.wants(Part::Growth) {
        growth::check(settings).await?;
    }
    if settings.peers {
        peers::check(&settings.peers_dir()).await?;
    }
    let mut report = Home::during(async |home| measure(home, settings).await).await?;
    report.setting.push(format!("measured in {:.0} s", start.elapsed().as_secs_f64()));
    println!("\n{}\n\n{}\n{}", report.setting.join("\n"), report.table(), report.verdict());
    report.write(&settings.out)?;
    println!("Report with notes and plots: {0}/bench.html, and as JSON: {0}/bench.json", settings.out.display());
    Ok(())
}

async fn measure(home: &Home, settings: &Settings) -> Result<Report> {
    say("starting Postgres and Redis, and creating 10,000 products");
    let system = System::start(home, &settings.bins.canonicalize()?).await?;
    let mut report = Report { setting: system.describe(settings).await?, ..Report::default() };
    if settings.wants(Part::Placing) {
        placing::measure(&system, settings, &mut report).await?;
    }
    if settings.wants(Part::Lives) {
        lives::measure(&system, settings, &mut report).await?;
    }
    if settings.wants(Part::Sale) {
        sale::measure(&system, settings, &mut report).await?;
    }
    if settings.wants(Part::Webhooks) {
        webhooks::measure(&system, settings, &mut report).await?;
    }
    if settings.wants(Part::Reads) {
        reads::measure(&system, settings, &mut report).await?;
    }
    if settings.wants(Part::Archive) {
        archive::measure(&system, settings, &mut report).await?;
    }
    if settings.wants(Part::Growth) {
        growth::measure(&system, settings, &mut report).await?;
    }
    if settings.peers || (settings.wants(Part::Queue) && !settings.quick) {
        let ours = queue::measure(&system, settings, &mut report).await?;
        if settings.peers {
            peers::measure(&system, settings, &ours, &mut report).await?;
        }
    }
    system.stop().await?;
    Ok(report)
}
