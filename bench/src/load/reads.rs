//! Reading products, beside a bare handler with the one query.

use anyhow::{Context, Result};

use super::Settings;
use super::generator::{Ask, Load, Measured};
use super::shop::Shop;
use super::system::System;
use crate::report::{Report, Row};

const CONNECTIONS: usize = 64;
const ROUNDS: u32 = 2;
const PART: &str = "reads";

/// How the API is set up, by name.
const MODES: [(&str, &[(&str, &str)]); 1] = [("no cache", &[])];

pub async fn measure(system: &System, settings: &Settings, report: &mut Report) -> Result<()> {
    let bare = system.bare(&system.main).await?;
    let shop = &system.main.shop;
    for (mode, set) in MODES {
        let (api, addr) = system.api(&system.main, set).await?;
        let reads: [(&str, Ask, Ask); 2] = [
            ("a product", shop.product("/v1"), shop.product("")),
            ("a list of 20 products", Shop::list("/v1"), Shop::list("")),
        ];
        for (what, ours, theirs) in reads {
            let ours = Load { addr, connections: CONNECTIONS, expected: 200, ask: ours, pace: None };
            let theirs = Load { addr: bare.addr, connections: CONNECTIONS, expected: 200, ask: theirs, pace: None };
            let pid = api.pid().context("the API has ended")?;
            let (mut our, mut their) = (Measured::default(), Measured::default());
            let mut cpu = 0.0;
            // In turns, so that a slow minute of the machine hits both.
            for _ in 0..ROUNDS {
                let time = settings.time() / ROUNDS;
                let (measured, before, after) = ours.run(settings.warm_up(), time, || system.taken(pid)).await?;
                if measured.rate() > our.rate() {
                    our = measured;
                    cpu = (after.server.cpu_seconds - before.server.cpu_seconds) * 1e6 / (our.rate() * our.seconds);
                }
                let (measured, ..) = theirs.run(settings.warm_up(), time, || Ok(())).await?;
                their = if measured.rate() > their.rate() { measured } else { their };
            }
            report.rows.push(
                Row::new(PART, format!("{what}, {mode}, {CONNECTIONS} connections"), our.rate(), "a second")
                    .beside("bare handler, one query", their.rate())
                    .note(format!(
                        "p50 {:.1} ms, p99 {:.1} ms, {} errors, {cpu:.0} µs of CPU a request; bare p50 {:.1} ms, p99 {:.1} ms",
                        our.p50_ms, our.p99_ms, our.errors, their.p50_ms, their.p99_ms
                    )),
            );
        }
    }
    Ok(())
}
