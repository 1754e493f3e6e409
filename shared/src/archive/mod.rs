//! The archive: the items and events of old orders, and old movements of stock, leave the database month by month. The
//! orders themselves stay. Writes no table; `months` and the ledger do.
//!
//! A month is closed when nothing in it can change any more, written to files (`write`), compared with the orders and with
//! the checkpoints of stock (`check`), and dropped. A run that is killed is gone on with by the next one.

mod check;
mod write;

use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use sqlx::{PgConnection, PgPool};

use crate::error::{Error, Result};
use crate::inventory::ledger;
use crate::months::{self, ArchiveFile, Month};
use crate::orders::status::Status;
use crate::platform::db::leadership::Candidate;

/// The advisory lock of the process that archives ("arch" in ASCII).
const LOCK: i64 = 0x6172_6368;
/// A process that says nothing for so long does not archive any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// A table is dropped in one statement, which waits until the table is free for a moment.
const DROP_TIMEOUT: &str = "60s";

/// What a month waits for before it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
pub enum MonthWaits {
    #[strum(to_string = "orders that are neither delivered nor cancelled")]
    Orders,
    #[strum(to_string = "jobs of its orders")]
    Jobs,
    #[strum(to_string = "events that the feed still has (FEED_KEPT)")]
    Feed,
    #[strum(to_string = "webhooks that are not delivered yet")]
    Webhooks,
    #[strum(to_string = "an audit that finds the stock in order")]
    Checkpoint,
}

/// Moves every month to the archive that ended so long ago, the oldest first, until one has to wait. Returns for what.
///
/// One process does it at a time; while another one does, this does nothing.
pub async fn run(db: &PgPool, dir: &Path, kept: Duration) -> Result<Option<MonthWaits>> {
    match Candidate::new(db, LOCK, PATIENCE).lead().await? {
        Some(leadership) => leadership.during(all(db, dir, kept)).await,
        None => Ok(None),
    }
}

async fn all(db: &PgPool, dir: &Path, kept: Duration) -> Result<Option<MonthWaits>> {
    // A run that was killed may have left some.
    drop_tables(db).await?;
    loop {
        let month = months::oldest(&mut *db.acquire().await?).await?;
        if month.ends_at + kept > Utc::now() {
            return Ok(None);
        }
        if let Some(waits_for) = close(db, &month).await? {
            tracing::info!(
                month = month.name,
                "the part {} of history is not archived yet: it waits for {waits_for}",
                month.name
            );
            return Ok(Some(waits_for));
        }
        let dir = dir.join(&month.name);
        let files = write::month(db, &dir, &month).await?;
        compare(db, &dir, &month, &files).await?;
        remove(db, &month).await?;
        let rows: u64 = files.iter().map(|file| file.rows).sum();
        tracing::info!(
            month = month.name,
            rows,
            "the part {} of history is in {} now: {rows} rows",
            month.name,
            dir.display()
        );
    }
}

/// Closes the month, unless something in it can still change.
async fn close(db: &PgPool, month: &Month) -> Result<Option<MonthWaits>> {
    if month.is_closed {
        return Ok(None);
    }
    let mut tx = db.begin().await?;
    if let Some(waits_for) = waits_for(&mut tx, month).await? {
        return Ok(Some(waits_for));
    }
    months::close(&mut tx, month).await?;
    // Something may have begun before it was closed.
    let waits_for = waits_for(&mut tx, month).await?;
    if waits_for.is_none() {
        tx.commit().await?;
    }
    Ok(waits_for)
}

async fn waits_for(conn: &mut PgConnection, month: &Month) -> Result<Option<MonthWaits>> {
    let found = sqlx::query!(
        r#"select exists (select from orders where id >= $1 and id < $2 and stage = any($3)) as "orders!",
                  exists (select from jobs where order_id >= $1 and order_id < $2 and state <> 'done') as "jobs!",
                  exists (select from feed where subject >= $1 and subject < $2 and type like 'order.%') as "feed!",
                  exists (select from webhook_deliveries where subject >= $1 and subject < $2 and state = 'pending') as "webhooks!""#,
        month.low,
        month.high,
        &Status::stages(|status| !status.is_final()) as &[&str],
    )
    .fetch_one(&mut *conn)
    .await?;
    Ok(if found.orders {
        Some(MonthWaits::Orders)
    } else if found.jobs {
        Some(MonthWaits::Jobs)
    } else if found.feed {
        Some(MonthWaits::Feed)
    } else if found.webhooks {
        Some(MonthWaits::Webhooks)
    } else if ledger::moved_in(conn, month).await?.is_none() {
        Some(MonthWaits::Checkpoint)
    } else {
        None
    })
}

/// Compares the files with the database. If they differ they are written again by the next run.
async fn compare(db: &PgPool, dir: &Path, month: &Month, files: &[ArchiveFile]) -> Result<()> {
    let mut conn = db.acquire().await?;
    if let Err(difference) = check::month(&mut conn, dir, month, files).await? {
        months::wrote(&mut conn, month, &[]).await?;
        return Err(Error::internal(format!("the archive in {} is wrong: {difference}", dir.display())));
    }
    write::manifest(dir, month, files).await?;
    months::complete(&mut conn, month).await
}

/// From the commit on only the files have the month.
async fn remove(db: &PgPool, month: &Month) -> Result<()> {
    let mut tx = db.begin().await?;
    months::mark_removed(&mut tx, month).await?;
    ledger::forget_closings(&mut tx, month).await?;
    tx.commit().await?;
    drop_tables(db).await
}

/// Drops the tables of removed months, one after the other, so that nobody waits for a table that is not being dropped.
async fn drop_tables(db: &PgPool) -> Result<()> {
    loop {
        let mut tx = db.begin().await?;
        sqlx::query_scalar!("select set_config('statement_timeout', $1, true)", DROP_TIMEOUT)
            .fetch_one(&mut *tx)
            .await?;
        let dropped = months::drop_table(&mut tx).await?;
        tx.commit().await?;
        if !dropped {
            return Ok(());
        }
    }
}
