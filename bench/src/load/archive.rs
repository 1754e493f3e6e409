//! Measures how placing fares while old months go to the archive: written to files, compared, dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use shared::audit;
use shared::platform::db;
use sqlx::PgPool;
use tokio::sync::Semaphore;

use super::generator::{Load, Measured};
use super::requests::{self, Buying};
use super::settings::Settings;
use super::system::System;
use crate::report::{Report, Row, number, say};

const CONNECTIONS: usize = 64;
/// Of the rate that the API reaches alone. A machine that is full has no time for anything else.
const SHARE_OF_FULL_RATE: f64 = 0.4;
/// The archive of a year must not take longer.
const TIMEOUT: Duration = Duration::from_mins(30);

const PART: &str = "archive";

/// Nothing of the old months may wait: no open order, no job, no event for the feed or a webhook.
const END_THE_PAST: &str = "
    update orders set status = 'delivered' where id < archive_id(now() - interval '35 days') and stage not in ('delivered', 'cancelled');
    update charges set state = 'charged' where state = 'started' and order_id < archive_id(now() - interval '35 days');
    insert into simulated_charges (key, amount_minor, currency, state, created_at)
    select id, amount_minor, currency, state, created_at from charges where state = 'charged' on conflict do nothing;
    delete from jobs where order_id < archive_id(now() - interval '35 days');
    update webhook_deliveries set state = 'failed', ended_at = now() where state = 'pending';
    update order_events set xact = null;
    truncate feed;
    update feed_head set removed_to = position, removed_until = now();
    vacuum (analyze)";

const PARTS: &str = "select count(*) from archive_months
      where to_regclass('stock_movements_' || name) is not null and ends_at < now() - interval '35 days'";

pub async fn measure(system: &System, settings: &Settings, report: &mut Report) -> Result<()> {
    let rows = if settings.quick { settings.rows.min(5000) } else { settings.rows };
    say(format!("archive: a database of {} orders", number(rows.into())));
    let database = system.database("archive", rows).await?;
    let mut conn = db::without_timeouts(&database.db).await?;
    for statement in END_THE_PAST.split(';') {
        sqlx::raw_sql(statement).execute(&mut *conn).await?;
    }
    conn.close().await?;
    drop(audit::run(&mut *database.db.acquire().await?).await?); // It moves the checkpoint of stock.
    let (parts, history) = (count(&database.db, PARTS).await?, history(&database.db).await?);
    let (mut api, addr) = system.api(&database, &[]).await?;
    let tokens = requests::buyers(addr).await?;
    let ask = database.products.orders(Buying::Spread, &tokens);
    let free = Load { addr, connections: CONNECTIONS, expected: 201, ask, pace: None };
    let (full, (), ()) = free.run(settings.warm_up(), settings.time(), || Ok(())).await?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is small and positive")]
    let rate = (full.rate() * SHARE_OF_FULL_RATE).max(1.0) as u16;
    say(format!("archive: {rate} orders a second, alone"));
    let (alone, ()) = paced(&free, rate, tokio::time::sleep(settings.long_time() / 2)).await?;
    say(format!("archive: the same, while {parts} parts go to files"));
    let dir = system.home.dir.join("archive");
    let mut worker = system.archiver(&database, &dir).await?;
    let (during, done) = paced(&free, rate, archived(&database.db)).await?;
    let took = done?;
    worker.stop().await?;
    let bytes = count(&database.db, "select coalesce(sum((file ->> 'rows')::bigint), 0)::bigint from archive_months, jsonb_array_elements(files) file").await?;
    ensure!(during.errors == 0, "{} orders were refused while the archive was written", during.errors);
    let p99 =
        Row::new(PART, "placing while months are archived, p99", during.p99_ms, "ms").beside("alone", alone.p99_ms);
    report.rows.extend([
        p99.note(format!("{rate} orders a second, {SHARE_OF_FULL_RATE} of the full rate; {parts} parts")),
        Row::new(PART, "placing while months are archived, longest", during.longest_ms, "ms")
            .beside("alone", alone.longest_ms),
        Row::new(PART, "rows archived", to_float(bytes) / took.as_secs_f64(), "a second").note(format!(
            "{} rows in {:.0} s",
            number(to_float(bytes)),
            took.as_secs_f64()
        )),
        Row::new(PART, "history in the database, after", self::history(&database.db).await?, "bytes")
            .beside("before", history),
    ]);
    let run = audit::run(&mut *database.db.acquire().await?).await?;
    let broken: Vec<_> =
        run.invariants.iter().filter(|finding| finding.violations > 0).map(|finding| &finding.name).collect();
    ensure!(broken.is_empty(), "the audit found violations afterwards: {broken:?}");
    api.kill().await?;
    system.drop_database(database, "archive").await
}

/// Keeps the rate until the work is done.
async fn paced<T>(load: &Load, rate: u16, work: impl Future<Output = T>) -> Result<(Measured, T)> {
    let load = Load { pace: Some(Arc::new(Semaphore::new(0))), ..load.clone() };
    let (done, measured) = load.during(Instant::now(), load.keep_pace(rate, work)).await?;
    Ok((measured, done))
}

/// Lets the worker archive, and waits until all old months are gone. Returns how long that took.
async fn archived(db: &PgPool) -> Result<Duration> {
    let job = "insert into jobs (queue, kind, args, max_attempt) values ('low', 'archive', jsonb_build_object('at', now()), 100)";
    sqlx::raw_sql(job).execute(db).await?;
    let begin = Instant::now();
    while count(db, PARTS).await? > 0 {
        ensure!(begin.elapsed() < TIMEOUT, "the archive is not written");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(begin.elapsed())
}

/// The bytes of the three tables.
async fn history(db: &PgPool) -> Result<f64> {
    let bytes = "select sum(pg_total_relation_size(relid))::bigint
                   from unnest(array['order_items', 'order_events', 'stock_movements']) t (name), pg_partition_tree(name::regclass)";
    Ok(to_float(count(db, bytes).await?))
}

async fn count(db: &PgPool, sql: &'static str) -> Result<i64> {
    Ok(sqlx::query_scalar(sql).fetch_one(db).await?)
}

#[expect(clippy::cast_precision_loss, reason = "counts are smaller than 2^53")]
fn to_float(count: i64) -> f64 {
    count as f64
}
