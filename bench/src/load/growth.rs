//! Measures whether reads and writes stay as fast with a million orders in the tables, and how much disk and memory an
//! order takes.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::json;
use sqlx::PgPool;
use tokio::process::Command;
use uuid::Uuid;

use super::generator::{Load, Measured, RequestWriter};
use super::requests::{self, Buying, ProductSet};
use super::settings::Settings;
use super::system::{Database, System};
use crate::report::{Curve, Plot, Report, Row, number, say};

const CONNECTIONS: usize = 64;
const LONG_ROWS: u32 = 10_000_000;

/// Disk space for one order while the database is filled: with its share of products and users, and with the WAL. An
/// upper estimate.
const DISK_PER_ORDER: u64 = 9_000;
/// Postgres without orders, and its WAL: `max_wal_size`, which it may exceed for a moment.
const DISK_AT_LEAST: u64 = 10 << 30;

/// The tables with one or more rows for each order. The others hold products, stock and users.
const OF_ORDERS: [&str; 13] = [
    "orders",
    "order_items",
    "order_events",
    "charges",
    "simulated_charges",
    "shipments",
    "simulated_bookings",
    "reservations",
    "reservation_lines",
    "stock_movements",
    "jobs",
    "job_attempts",
    "idempotency_keys",
];

const PART: &str = "growth";

const WHAT: [&str; 6] = [
    "placing",
    "one of the same 10,000 products",
    "any product",
    "a customer's orders, first page",
    "a new order, by staff",
    "any order, by staff",
];

/// So many of the newest orders are new ones.
const NEW: i64 = 10_000;

/// How many products and orders are sampled. A run cannot read them all, so few are read twice.
const SAMPLE: i64 = 100_000;

/// The results at one size.
struct Size {
    orders: u32,
    /// Orders at the end, with those that the measurement placed.
    there: f64,
    /// In the order of `WHAT`.
    loads: [Loaded; WHAT.len()],
    api_mib: f64,
    postgres_mib: f64,
    tables: Vec<Table>,
    all_bytes: f64,
}

#[derive(Clone, Copy, Default, Serialize)]
struct Loaded {
    measured: Measured,
    /// The share of the pages that Postgres found in its buffers.
    in_memory: f64,
}

#[derive(Serialize, sqlx::FromRow)]
struct Table {
    name: String,
    /// Without indexes.
    bytes: f64,
    index_bytes: f64,
    indexes: String,
    /// Table and indexes together, in Postgres's buffers.
    cached_bytes: f64,
}

/// Fails at once if the disk is too small.
pub async fn check(settings: &Settings) -> Result<()> {
    let largest = sizes(settings).into_iter().max().unwrap_or_default();
    let (needed, free) = (u64::from(largest) * DISK_PER_ORDER + DISK_AT_LEAST, free_bytes().await?);
    ensure!(
        free >= needed,
        "growth to {} orders needs {} GiB of disk in {}, where {} are free: name fewer with --rows{}, or another \
         folder with TMPDIR",
        number(largest.into()),
        needed >> 30,
        std::env::temp_dir().display(),
        free >> 30,
        if settings.long { " and without --long" } else { "" },
    );
    Ok(())
}

fn sizes(settings: &Settings) -> Vec<u32> {
    let rows = if settings.quick { settings.rows.min(5000) } else { settings.rows };
    [0, rows].into_iter().chain(settings.long.then_some(LONG_ROWS)).collect()
}

/// Free bytes of the disk that holds the servers' data.
async fn free_bytes() -> Result<u64> {
    let output = Command::new("df").args(["-Pk"]).arg(std::env::temp_dir()).output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let free = text.lines().nth(1).and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    Ok(free.context("df printed no free space")? << 10)
}

pub async fn measure(system: &System, settings: &Settings, report: &mut Report) -> Result<()> {
    let mut sizes_measured = Vec::new();
    for orders in sizes(settings) {
        sizes_measured.push(measure_size(system, settings, orders).await?);
    }
    let [empty, filled @ ..] = &sizes_measured[..] else { return Ok(()) };
    for size in filled {
        report.rows.extend(rates(size, empty));
        report.rows.extend(disk(size));
    }
    let curve = |number: usize, name: &str| Curve {
        name: name.to_owned(),
        points: sizes_measured
            .iter()
            .map(|size| (f64::from(size.orders), size.loads[number].measured.rate()))
            .collect(),
    };
    let curves = WHAT.into_iter().enumerate().map(|(number, name)| curve(number, name)).collect();
    report.plots.push(Plot { part: PART, title: "Growth".into(), x: "orders in the tables", y: "a second", curves });
    Ok(())
}

async fn measure_size(system: &System, settings: &Settings, orders: u32) -> Result<Size> {
    let name = format!("growth_{orders}");
    say(format!("growth: a database of {} orders", number(orders.into())));
    let database = system.database(&name, orders).await?;
    // The cache is off: a cached answer would hide the size of the tables.
    let (mut api, addr) = system.api(&database, &[("CACHE", "off")]).await?;
    let tokens = requests::buyers(addr).await?;
    let staff = requests::staff(addr, &database.url).await?;
    let Database { products, db, .. } = &database;
    let sampled =
        ProductSet { ids: sample(db, "select id from products order by md5(id::text) limit $1", SAMPLE).await? };
    let mut loads = [Loaded::default(); WHAT.len()];
    for (index, (loaded, what)) in loads.iter_mut().zip(WHAT).enumerate() {
        let (ask, expected): (RequestWriter, u16) = match index {
            0 => (products.orders(Buying::Spread, &tokens), 201),
            1 => (products.product("/v1"), 200),
            2 => (sampled.product("/v1"), 200),
            3 => (requests::own_orders(&tokens), 200),
            // If the tables contain no orders, both read those that were just placed.
            4 => (requests::any_order(sample(db, NEWEST, NEW).await?, &staff), 200),
            _ => (requests::any_order(sample(db, ANY, SAMPLE).await?, &staff), 200),
        };
        say(format!("growth: {} orders, {what}", number(orders.into())));
        let load = Load { addr, connections: CONNECTIONS, expected, ask, pace: None };
        let before = pages(db).await?;
        let (measured, ..) = load.run(settings.warm_up(), settings.time(), || Ok(())).await?;
        let after = pages(db).await?;
        let in_memory = (after.0 - before.0) / (after.0 - before.0 + after.1 - before.1).max(1.0);
        *loaded = Loaded { measured, in_memory };
    }
    let used = system.resource_use(api.pid().context("the API has ended")?)?;
    let (all_bytes, there) =
        sqlx::query_as("select pg_database_size(current_database())::float8, count(*)::float8 from orders")
            .fetch_one(db)
            .await?;
    let tables = tables(db).await?;
    api.kill().await?;
    system.drop_database(database, &name).await?;
    let (api_mib, postgres_mib) = (used.server.memory_mib, used.postgres.memory_mib);
    Ok(Size { orders, there, loads, api_mib, postgres_mib, tables, all_bytes })
}

const NEWEST: &str = "select id from orders order by id desc limit $1";
const ANY: &str = "select id from orders order by md5(id::text) limit $1";

async fn sample(db: &PgPool, sql: &'static str, limit: i64) -> Result<Arc<[Uuid]>> {
    let ids: Vec<Uuid> = sqlx::query_scalar(sql).bind(limit).fetch_all(db).await?;
    Ok(ids.into())
}

/// Pages that Postgres found in its buffers so far, and pages that it did not. A busy connection reports them once a
/// second.
async fn pages(db: &PgPool) -> Result<(f64, f64)> {
    let sql = "select blks_hit::float8, blks_read::float8 from pg_stat_database where datname = current_database()";
    Ok(sqlx::query_as(sql).fetch_one(db).await?)
}

async fn tables(db: &PgPool) -> Result<Vec<Table>> {
    sqlx::raw_sql("create extension if not exists pg_buffercache").execute(db).await?;
    let tables = sqlx::query_as(
        "with cached as materialized (
             select relfilenode, count(*) * 8192 as bytes from pg_buffercache
              where reldatabase = (select oid from pg_database where datname = current_database()) group by 1),
         parts as (
         select coalesce(pg_partition_root(t.oid), t.oid)::regclass::text as name, pg_table_size(t.oid)::float8 as bytes,
                pg_indexes_size(t.oid)::float8 as index_bytes,
                coalesce((select string_agg(format('%s %s MB', i.indexrelid::regclass, pg_relation_size(i.indexrelid) / 1000000), ', '
                                            order by pg_relation_size(i.indexrelid) desc)
                            from pg_index i where i.indrelid = t.oid), '') as indexes,
                coalesce((select sum(c.bytes) from cached c
                           where c.relfilenode in (select pg_relation_filenode(t.oid)
                                                   union all
                                                   select pg_relation_filenode(i.indexrelid) from pg_index i where i.indrelid = t.oid)),
                         0)::float8 as cached_bytes
           from pg_class t
          where t.relkind = 'r' and t.relnamespace = 'public'::regnamespace)
         select name, sum(bytes) as bytes, sum(index_bytes) as index_bytes, max(indexes) as indexes,
                sum(cached_bytes) as cached_bytes
           from parts group by name order by sum(bytes + index_bytes) desc",
    );
    Ok(tables.fetch_all(db).await?)
}

/// Rates and memory, beside those without orders.
fn rates(size: &Size, empty: &Size) -> Vec<Row> {
    let name = number(size.orders.into());
    let mut rows = Vec::new();
    for (what, (here, there)) in WHAT.into_iter().zip(size.loads.iter().zip(&empty.loads)) {
        let note = format!(
            "p99 {:.1} ms against {:.1} ms; {} errors; {:.2} % of the pages were in memory against {:.2} %",
            here.measured.p99_ms,
            there.measured.p99_ms,
            here.measured.errors,
            100.0 * here.in_memory,
            100.0 * there.in_memory,
        );
        rows.push(
            Row::new(PART, format!("{what}, {name} orders"), here.measured.rate(), "a second")
                .beside("no orders", there.measured.rate())
                .note(note)
                .details(json!({ "here": here, "empty": there })),
        );
    }
    rows.extend([
        Row::new(PART, format!("memory of the API, {name} orders"), size.api_mib, "MiB")
            .beside("no orders", empty.api_mib),
        Row::new(PART, format!("memory of Postgres, {name} orders"), size.postgres_mib, "MiB")
            .beside("no orders", empty.postgres_mib),
    ]);
    rows
}

/// Disk space for an order, table by table, and the share of it in Postgres's buffers under this load.
fn disk(size: &Size) -> Vec<Row> {
    let (name, orders) = (number(size.orders.into()), size.there);
    let of_orders: Vec<&Table> = size.tables.iter().filter(|table| OF_ORDERS.contains(&table.name.as_str())).collect();
    let sum: f64 = of_orders.iter().map(|table| table.bytes + table.index_bytes).sum();
    let all = Row::new(PART, format!("disk an order, {name} orders"), sum / orders, "bytes")
        .beside("the whole database, with products and users", size.all_bytes / orders);
    let mut rows = vec![all];
    for table in of_orders {
        let both = table.bytes + table.index_bytes;
        let note = format!(
            "rows {:.0}, indexes {:.0}: {}; {:.1} % in Postgres's memory",
            table.bytes / orders,
            table.index_bytes / orders,
            table.indexes,
            100.0 * table.cached_bytes / both.max(1.0),
        );
        rows.push(
            Row::new(PART, format!("disk an order, {name} orders: {}", table.name), both / orders, "bytes")
                .beside("all of an order", sum / orders)
                .note(note)
                .details(json!(table)),
        );
    }
    rows
}
