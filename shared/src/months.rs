//! The parts of history: one for each month, of the items and events of its orders and of its movements of stock. Which
//! parts there are, and what became of them. Alone writes `archive_months`, partly by functions of the schema, because the
//! application's role may not change the schema.

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
    /// All of it was written, and compared with the tables.
    pub is_written: bool,
}

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveFile {
    pub name: String,
    pub rows: u64,
    pub sha256: String,
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
        r#"select low, high, ends_at, name, closed_at is not null as "is_closed!", files as "files: Json<Vec<ArchiveFile>>",
                  written_at is not null as "is_written!"
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
    is_written: bool,
}

impl From<MonthRow> for Month {
    fn from(MonthRow { low, high, ends_at, name, is_closed, files, is_written }: MonthRow) -> Self {
        let files = files.map(|Json(files)| files).unwrap_or_default();
        Self { low, high, ends_at, name, is_closed, files, is_written }
    }
}

/// From the commit on nothing is added to this part.
pub(crate) async fn close(conn: &mut PgConnection, month: &Month) -> Result<()> {
    sqlx::query!("select archive_close($1)", month.name).execute(conn).await?;
    Ok(())
}

/// Notes what has been written of a part.
pub(crate) async fn wrote(conn: &mut PgConnection, month: &Month, files: &[ArchiveFile]) -> Result<()> {
    sqlx::query!("update archive_months set files = $2 where low = $1", month.low, Json(files) as _)
        .execute(conn)
        .await?;
    Ok(())
}

/// All of the part was written, and compared with the tables.
pub(crate) async fn complete(conn: &mut PgConnection, month: &Month) -> Result<()> {
    sqlx::query!("update archive_months set written_at = clock_timestamp() where low = $1", month.low)
        .execute(conn)
        .await?;
    Ok(())
}

/// Drops the part. It waits until the tables are free for a moment, and makes others wait for 0.2 s at most, rarely for 1.5 s.
pub(crate) async fn remove(conn: &mut PgConnection, month: &Month) -> Result<()> {
    sqlx::query!("select archive_remove($1)", month.name).execute(conn).await?;
    Ok(())
}

/// Orders with smaller ids have neither items nor events in the database any more.
pub(crate) async fn removed_before(conn: &mut PgConnection) -> Result<Uuid> {
    let high =
        sqlx::query_scalar!("select high from archive_months where removed_at is not null order by high desc limit 1");
    Ok(high.fetch_optional(conn).await?.unwrap_or_default())
}

/// The name of the part of this order, if only the archive has it.
pub(crate) async fn archived(conn: &mut PgConnection, order: OrderId) -> Result<Option<String>> {
    Ok(sqlx::query_scalar!(
        "select name from archive_months where removed_at is not null and $1 >= low and $1 < high",
        order.0,
    )
    .fetch_optional(conn)
    .await?)
}

/// Fails if only the archive has what belongs to this order.
pub(crate) async fn require_here(conn: &mut PgConnection, order: OrderId) -> Result<()> {
    match archived(conn, order).await? {
        Some(month) => Err(Error::OrderArchived { month }),
        None => Ok(()),
    }
}
