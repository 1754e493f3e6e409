//! Whether it stays as fast with a million orders in the tables, and what an order takes of disk and memory.

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::Settings;
use super::generator::{Ask, Load, Measured};
use super::shop::{self, Buying};
use super::system::{Database, System};
use super::usage;
use crate::report::{Curve, Plot, Report, Row};

const CONNECTIONS: usize = 64;
const LONG_ROWS: u32 = 10_000_000;

/// What a row of the fill takes with all its indexes, and the log of writing it, generously.
const DISK_PER_ORDER: u64 = 9_000;

const PART: &str = "growth";

/// The rates at one size: orders placed, products read, a customer's own orders read.
struct Size {
    orders: u32,
    rates: [Measured; 3],
    api_mib: f64,
    disk_bytes: f64,
}

const WHAT: [&str; 3] = ["placing", "a product", "a customer's orders, first page"];

pub async fn measure(system: &System, settings: &Settings, report: &mut Report) -> Result<()> {
    let rows = if settings.quick { settings.rows.min(5000) } else { settings.rows };
    let mut sizes = Vec::new();
    for orders in [0, rows].into_iter().chain(settings.long.then_some(LONG_ROWS)) {
        sizes.push(measure_size(system, settings, orders).await?);
    }
    let empty = &sizes[0];
    for size in &sizes[1..] {
        let name = crate::report::number(size.orders.into());
        for (number, what) in WHAT.into_iter().enumerate() {
            let (here, there) = (size.rates[number], empty.rates[number]);
            report.rows.push(
                Row::new(PART, format!("{what}, {name} orders"), here.rate(), "a second")
                    .beside("none", there.rate())
                    .note(format!("p99 {:.1} ms against {:.1} ms; {} errors", here.p99_ms, there.p99_ms, here.errors)),
            );
        }
        report.rows.extend([
            Row::new(PART, format!("disk an order, {name} orders"), size.disk_bytes / f64::from(size.orders), "bytes")
                .note("with its lines, events, reservation, movements, charge, job, and what else the shop of the fill has"),
            Row::new(PART, format!("memory of the API, {name} orders"), size.api_mib, "MiB").beside("none", empty.api_mib),
        ]);
    }
    let curve = |number: usize, name: &str| Curve {
        name: name.to_owned(),
        points: sizes.iter().map(|size| (f64::from(size.orders), size.rates[number].rate())).collect(),
    };
    let curves = WHAT.into_iter().enumerate().map(|(number, name)| curve(number, name)).collect();
    report.plots.push(Plot { title: "Growth".into(), x: "orders in the tables", y: "a second", curves });
    Ok(())
}

async fn measure_size(system: &System, settings: &Settings, orders: u32) -> Result<Size> {
    let needed = u64::from(orders) * DISK_PER_ORDER / 1024;
    let free = free_kib().await?;
    if free < needed {
        bail!("{orders} orders need {} GiB of disk, and {} are free", needed >> 20, free >> 20);
    }
    let name = format!("growth_{orders}");
    let database = system.database(&name, orders).await?;
    let size: f64 =
        sqlx::query_scalar("select pg_database_size(current_database())::float8").fetch_one(&database.db).await?;
    let (mut api, addr) = system.api(&database, &[]).await?;
    let tokens = shop::buyers(addr).await?;
    let Database { shop, .. } = &database;
    let asks: [(Ask, u16); 3] =
        [(shop.orders(Buying::Spread, &tokens), 201), (shop.product("/v1"), 200), (shop::own_orders(&tokens), 200)];
    let mut rates = [Measured::default(); 3];
    for (rate, (ask, expected)) in rates.iter_mut().zip(asks) {
        let load = Load { addr, connections: CONNECTIONS, expected, ask, pace: None };
        (*rate, ..) = load.run(settings.warm_up(), settings.time(), || Ok(())).await?;
    }
    let api_mib = usage::of(api.pid().context("the API has ended")?)?.memory_mib;
    api.kill().await?;
    system.drop_database(database, &name).await?;
    Ok(Size { orders, rates, api_mib, disk_bytes: size })
}

/// Of the disk that the servers' folder is on.
async fn free_kib() -> Result<u64> {
    let output = Command::new("df").args(["-Pk"]).arg(std::env::temp_dir()).output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let free = text.lines().nth(1).and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    free.context("df tells how much is free")
}
