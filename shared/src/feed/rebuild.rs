//! After a dump was restored: forgets the transactions of the lost database, and feeds what is not in the feed. Writes
//! `order_events.xact` for `orders`, because only the owner of the schema may change a timeline.

use sqlx::{Connection, PgConnection, PgPool};

use super::sequencer;
use crate::error::Result;
use crate::platform::db;

/// Numbers every event that is not in the feed and is not older than what was removed from it. Events from before the
/// feed existed are numbered too. Returns how many there were. Workers may run meanwhile.
pub async fn rebuild(db: &PgPool) -> Result<i64> {
    let mut conn = db::without_timeouts(db).await?;
    let mut tx = conn.begin_with("begin isolation level repeatable read").await?;
    sqlx::query!("select from feed_head for update").execute(&mut *tx).await?;
    sqlx::query!("update order_events set xact = null where xact is not null").execute(&mut *tx).await?;
    sqlx::query!("update entity_events set xact = null where xact is not null").execute(&mut *tx).await?;
    // One snapshot for all: what it shows is numbered here, and what it does not show is new to the next pass.
    let head = sequencer::start_anew(&mut tx).await?;
    take_back_later_events(&mut tx).await?;
    let numbered = sqlx::query_scalar!(
        r#"with missing as materialized (
               select order_id as subject, sequence, 'order.' || type as type, created_at from order_events
               union all
               select subject, sequence, type, created_at from entity_events),
           sorted as (
               select m.*, row_number() over (order by at, subject, sequence) as n
                 from (select e.*, max(created_at) over (partition by subject order by sequence) as at
                         from missing e, feed_head h
                        where (h.removed_until is null or e.created_at > h.removed_until)
                          and not exists (select from feed f where f.subject = e.subject and f.sequence = e.sequence)) m),
           fed as (
               insert into feed (position, subject, sequence, type, created_at)
               select $1 + n, subject, sequence, type, created_at from sorted order by n)
           select count(*) as "numbered!" from sorted"#,
        head,
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!("update feed_head set position = $1", head + numbered).execute(&mut *tx).await?;
    tx.commit().await?;
    conn.close().await?;
    Ok(numbered)
}

/// A missing event must not come after a later one of its subject. So all events of such a subject get new positions,
/// and readers get its events again, under the same ids.
async fn take_back_later_events(conn: &mut PgConnection) -> Result<()> {
    sqlx::query!(
        "with events as (
             select order_id as subject, sequence, created_at from order_events
             union all
             select subject, sequence, created_at from entity_events)
         delete from feed later using events e, feed_head h
          where later.subject = e.subject and later.sequence > e.sequence
            and (h.removed_until is null or e.created_at > h.removed_until)
            and not exists (select from feed f where f.subject = e.subject and f.sequence = e.sequence)"
    )
    .execute(conn)
    .await?;
    Ok(())
}
