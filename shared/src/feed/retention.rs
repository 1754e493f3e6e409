//! Removes numbers of the feed that are too old, and the events that belong to no order with them: `feed`, `feed_head`,
//! `entity_events`. Timelines stay.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use crate::error::Result;

/// Numbers removed by one statement: some tens of milliseconds.
pub const STEP: i64 = 5_000;

/// Removes up to `STEP` of the oldest numbers, if they were given longer ago than `kept`. Returns how many it removed.
///
/// It removes a beginning of the feed and nothing in the middle. So a cursor is good as long as nothing behind it is gone.
/// Only the sequencer's task calls this: both need the head of the feed.
///
/// The last event of a product or a row of stock stays: the next one takes its number from it.
pub async fn remove_old(conn: &mut PgConnection, kept: Duration) -> Result<i64> {
    let mut tx = conn.begin().await?;
    sqlx::query!("select from feed_head for update").execute(&mut *tx).await?;
    let removed = sqlx::query_scalar!(
        r#"with first as materialized (select position, fed_at from feed order by position limit $1),
           kept as (
               select min(position) as position from first
                where fed_at >= clock_timestamp() - make_interval(secs => $2)),
           gone as (
               delete from feed f using first, kept
                where f.position = first.position and (kept.position is null or f.position < kept.position)
               returning f.position, f.fed_at, f.subject, f.sequence),
           last as (select subject, max(sequence) as sequence from gone group by subject),
           said as (
               delete from entity_events e using last
                where e.subject = last.subject and e.sequence <= last.sequence
                  and exists (select from entity_events later
                               where later.subject = e.subject and later.sequence > e.sequence)),
           told as (
               update feed_head set removed_to = g.position, removed_until = g.fed_at
                 from (select max(position) as position, max(fed_at) as fed_at from gone) g where g.position is not null)
           select count(*) as "removed!" from gone"#,
        STEP,
        kept.as_secs_f64(),
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(removed)
}
