//! The parts of history: one for each month, of the items and events of its orders and of its movements of stock. Which
//! parts there are, and what became of them. Alone writes `archive_months`, partly by functions of the schema, because the
//! application's role may not change the schema.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::values::OrderId;

/// A part: the ids from `low` and before `high`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Month {
    pub low: Uuid,
    pub high: Uuid,
    pub ends_at: DateTime<Utc>,
    /// `2026_12`. The first part, `start`, has everything from before there were parts.
    pub name: String,
    pub is_closed: bool,
    /// What has been written of it so far.
    pub files: Vec<ArchiveFile>,
}

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveFile {
    pub name: String,
    pub rows: u64,
    pub sha256: String,
}

/// The first and the last of these orders. A statement that reads their history names both, because `order_id = o.id` tells
/// Postgres the part only when it has found the order: until then it prepares to read every part, each time.
///
/// It names them as `case when now() is not null then $3::uuid end`, which Postgres evaluates when a statement begins. If it saw
/// them while it makes the plan, a plan for one part would look so cheap that it made a new one for each call, which takes
/// three times as long as reading the order.
pub(crate) fn reach(orders: &[Uuid]) -> (Option<Uuid>, Option<Uuid>) {
    (orders.iter().min().copied(), orders.iter().max().copied())
}

/// Makes the parts of the next months where they are missing, and returns how many it made.
pub async fn extend(conn: &mut PgConnection) -> Result<i32> {
    Ok(sqlx::query_scalar!(r#"select archive_extend() as "made!""#).fetch_one(conn).await?)
}

/// Until when there are parts.
pub async fn extended_until(conn: &mut PgConnection) -> Result<DateTime<Utc>> {
    Ok(sqlx::query_scalar!("select ends_at from archive_months order by high desc limit 1").fetch_one(conn).await?)
}

/// The oldest part that the database still has.
pub async fn oldest(conn: &mut PgConnection) -> Result<Month> {
    Ok(sqlx::query_as!(
        MonthRow,
        r#"select low, high, ends_at, name, closed_at is not null as "is_closed!", files as "files: Json<Vec<ArchiveFile>>"
             from archive_months where removed_at is null order by low limit 1"#
    )
    .fetch_one(conn)
    .await?
    .into())
}

struct MonthRow {
    low: Uuid,
    high: Uuid,
    ends_at: DateTime<Utc>,
    name: String,
    is_closed: bool,
    files: Option<Json<Vec<ArchiveFile>>>,
}

impl From<MonthRow> for Month {
    fn from(MonthRow { low, high, ends_at, name, is_closed, files }: MonthRow) -> Self {
        let files = files.map(|Json(files)| files).unwrap_or_default();
        Self { low, high, ends_at, name, is_closed, files }
    }
}

/// From the commit on nothing is added to this part.
pub(crate) async fn close(conn: &mut PgConnection, month: &Month) -> Result<()> {
    sqlx::query!("select archive_close($1)", month.name).execute(conn).await?;
    Ok(())
}

/// Notes what has been written of a part.
pub(crate) async fn wrote(conn: &mut PgConnection, month: &Month, files: &[ArchiveFile]) -> Result<()> {
    sqlx::query!(
        "update archive_months set files = $2 where low = $1 and removed_at is null",
        month.low,
        Json(files) as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// All of the part was written, and compared with the tables.
pub(crate) async fn complete(conn: &mut PgConnection, month: &Month) -> Result<()> {
    sqlx::query!("update archive_months set written_at = statement_timestamp() where low = $1", month.low)
        .execute(conn)
        .await?;
    Ok(())
}

/// From the commit on only the files have this part. Its tables are dropped afterwards.
pub(crate) async fn mark_removed(conn: &mut PgConnection, month: &Month) -> Result<()> {
    sqlx::query!("select archive_mark_removed($1)", month.name).execute(conn).await?;
    Ok(())
}

/// Drops one table of a removed part, and returns whether there was one. It waits until the table is free for a moment, and
/// makes others wait for 0.2 s at a time, rarely for 1.5 s.
pub(crate) async fn drop_table(conn: &mut PgConnection) -> Result<bool> {
    Ok(sqlx::query_scalar!(r#"select archive_drop_table() as "dropped!""#).fetch_one(conn).await?)
}

/// Orders with smaller ids have neither items nor events in the database any more.
pub(crate) async fn removed_before(conn: &mut PgConnection) -> Result<Uuid> {
    let high =
        sqlx::query_scalar!("select high from archive_months where removed_at is not null order by high desc limit 1");
    Ok(high.fetch_optional(conn).await?.unwrap_or_default())
}

/// The name of the part of each of these orders that only the archive has.
pub(crate) async fn archived(conn: &mut PgConnection, orders: &[OrderId]) -> Result<HashMap<OrderId, String>> {
    let rows = sqlx::query!(
        r#"select asked.id as "id!: OrderId", m.name
             from unnest($1::uuid[]) asked (id)
             join archive_months m on m.removed_at is not null and asked.id >= m.low and asked.id < m.high"#,
        orders as &[OrderId],
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(|row| (row.id, row.name)).collect())
}

/// Fails if only the archive has what belongs to this order.
pub(crate) async fn require_here(conn: &mut PgConnection, order: OrderId) -> Result<()> {
    match archived(conn, &[order]).await?.remove(&order) {
        Some(month) => Err(Error::OrderArchived { month }),
        None => Ok(()),
    }
}
