//! Gives each event its position in the feed: `feed` and `feed_head`. One task of the workers does this, one at a time.
//!
//! A pass takes exactly the events that are visible now and were not visible to the pass before, and gives them the next
//! positions. It finds them by the transaction that wrote them (`xact`): an event is new if its transaction had not begun
//! at the last pass, or was still running then. So a late commit gets a later position, nothing is left out, and a long
//! transaction delays no other event.
//!
//! A counter in each writer would serialise the writers. An ascending number without a lock loses events: transactions
//! do not commit in the order in which they took their numbers.
//!
//! The order of one subject is kept. Event n+1 is written under the lock of its subject, after the commit of event n: a
//! pass that sees n+1 sees n, and sorts them.

use sqlx::{Connection, PgConnection};

use crate::error::{Error, Result};

/// The advisory lock of the task ("feed" in ASCII). It avoids idle work; what is right rests on the lock of `feed_head`.
pub const LOCK: i64 = 0x6665_6564;

/// Events that one statement numbers: about a second. After a long outage there may be millions. Each part reads all of
/// them and keeps its own, so many small parts would take longer.
const PART: i64 = 200_000;

/// Positions of one timeline. None writes so many.
const TIMELINE_BITS: u32 = 40;

/// Added to the timeline when the database is another one than before: more promotions than the lost one can have had.
const OTHER_DATABASE: i64 = 1_000;

/// The positions that a pass gave: those after `before`, up to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    pub before: i64,
    pub last: i64,
    pub events: i64,
}

/// How many events wait for their position. It takes no lock, so asking often costs little. After a long outage it counts
/// millions.
///
/// It fails if the head has seen transactions that this server has not had yet. New events have lower numbers then, and would
/// not count as waiting.
pub async fn waiting(conn: &mut PgConnection) -> Result<i64> {
    let mut tx = conn.begin_with("begin; set local statement_timeout = '60s'").await?;
    let found = sqlx::query!(
        r#"with head as materialized (
               select pg_snapshot_xmax(seen) as xmax, array(select pg_snapshot_xip(seen)) as running from feed_head)
           select (select xmax > pg_snapshot_xmax(pg_current_snapshot()) from head) as "is_ahead!",
                  (select count(*) from order_events where xact >= (select xmax from head))
                + (select count(*) from order_events where xact = any((select running from head)::xid8[]))
                + (select count(*) from entity_events where xact >= (select xmax from head))
                + (select count(*) from entity_events where xact = any((select running from head)::xid8[]))
                  as "waiting!""#
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    if found.is_ahead { Err(Error::FeedOfAnotherDatabase) } else { Ok(found.waiting) }
}

/// For how many seconds the oldest event has waited for its position; 0 if none waits. Where `waiting` fails, the time since
/// the last event that has one.
pub async fn lag(conn: &mut PgConnection) -> Result<f64> {
    Ok(sqlx::query_scalar!(
        r#"with head as materialized (
               select pg_snapshot_xmax(seen) as xmax, array(select pg_snapshot_xip(seen)) as running from feed_head),
           oldest as (
               (select created_at from order_events where xact >= (select xmax from head) order by xact limit 1)
               union all
               (select created_at from order_events where xact = any((select running from head)::xid8[]) limit 1000)
               union all
               (select created_at from entity_events where xact >= (select xmax from head) order by xact limit 1)
               union all
               (select created_at from entity_events where xact = any((select running from head)::xid8[]) limit 1000)
               union all
               select coalesce((select created_at from feed order by position desc limit 1), 'epoch')
                 from head where xmax > pg_snapshot_xmax(pg_current_snapshot()))
           select coalesce(greatest(extract(epoch from clock_timestamp() - min(created_at)), 0), 0)::float8 as "lag!"
             from oldest"#
    )
    .fetch_one(conn)
    .await?)
}

/// What the head of the feed says, and where the database is now.
struct Head {
    position: i64,
    xmax: String,
    running: Vec<String>,
    is_ahead: bool,
    is_other: bool,
    shift: i64,
    timeline: i64,
    /// What this pass sees.
    sees: String,
}

impl Head {
    /// The last position before those of this pass, and the shift that it follows from.
    ///
    /// After a promotion that lost commits, readers may have seen positions that are gone. The timeline has grown then, so
    /// new positions are above them. A restored dump may be on a lower timeline than readers have seen: then the shift grows.
    fn base(&self) -> (i64, i64) {
        let reached = self.position >> TIMELINE_BITS;
        let shift = if self.is_other { reached + OTHER_DATABASE - self.timeline } else { self.shift };
        (self.position.max((self.timeline + shift) << TIMELINE_BITS), shift)
    }
}

/// Postgres ends a pass soon when its process is frozen. After a long outage a statement may take longer than those of
/// requests may. `set` takes no snapshot, `set_config` would.
const BEGIN_PASS: &str = "begin isolation level repeatable read;
    set local idle_in_transaction_session_timeout = '1s'; set local statement_timeout = '60s'";

/// Numbers everything that has become visible. `waiting` is about how many events that is.
///
/// Everything happens at one snapshot (repeatable read). If another process has numbered meanwhile, Postgres refuses the
/// transaction, and the next pass begins with the new head.
pub async fn pass(conn: &mut PgConnection, waiting: i64) -> Result<Numbered> {
    let mut tx = conn.begin_with(BEGIN_PASS).await?;
    let numbered = number(&mut tx, waiting).await?;
    tx.commit().await?;
    Ok(numbered)
}

/// The same, in a transaction of the caller that is repeatable read and has read nothing yet.
///
/// The caller must not write events in it: the snapshot that the head remembers counts them as seen.
pub async fn number(tx: &mut PgConnection, waiting: i64) -> Result<Numbered> {
    let head = lock(tx).await?;
    if head.is_ahead {
        return Err(Error::FeedOfAnotherDatabase);
    }
    let (before, shift) = head.base();
    let parts = 1 + waiting.max(0) / PART;
    let mut last = before;
    // By the hash of the subject and never by time or transaction: that would invert the order of a subject.
    for part in 0..parts {
        last += number_part(tx, &head, last, (parts, part)).await?;
    }
    remember(tx, &head, last, shift).await?;
    Ok(Numbered { before, last, events: last - before })
}

/// Begins above every position that a reader may have, also of a database that is lost. Returns the last position before.
pub(super) async fn start_anew(tx: &mut PgConnection) -> Result<i64> {
    let head = Head { is_other: true, ..lock(tx).await? };
    let (before, shift) = head.base();
    remember(tx, &head, before, shift).await?;
    Ok(before)
}

async fn remember(tx: &mut PgConnection, head: &Head, last: i64, shift: i64) -> Result<()> {
    sqlx::query!(
        "update feed_head
            set position = $1, shift = $2, seen = $3::text::pg_snapshot,
                system = (select system_identifier from pg_control_system()),
                database = (select oid from pg_database where datname = current_database())",
        last,
        shift,
        head.sees,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The snapshot is read here, from the server that has the rows. With Citus, an update would take that of the server we are
/// connected to.
async fn lock(tx: &mut PgConnection) -> Result<Head> {
    Ok(sqlx::query_as!(
        Head,
        r#"with server as materialized (
               select system_identifier, oid from pg_control_system(), pg_database where datname = current_database())
           select position, shift,
                  pg_snapshot_xmax(seen)::text as "xmax!",
                  array(select pg_snapshot_xip(seen)::text) as "running!",
                  pg_snapshot_xmax(seen) > pg_snapshot_xmax(pg_current_snapshot()) as "is_ahead!",
                  system is not null
                  and not exists (select from server s where s.system_identifier = system and s.oid = database) as "is_other!",
                  ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint as "timeline!",
                  pg_current_snapshot()::text as "sees!"
             from feed_head for update"#
    )
    .fetch_one(tx)
    .await?)
}

/// The order of a pass is the time of the event. A running maximum keeps the order of a subject where a clock stepped back.
async fn number_part(tx: &mut PgConnection, head: &Head, last: i64, (parts, part): (i64, i64)) -> Result<i64> {
    let done = sqlx::query!(
        r#"with fresh as materialized (
               select order_id as subject, sequence, 'order.' || type as type, created_at, xact from order_events
                where xact >= $1::text::xid8
               union all
               select order_id, sequence, 'order.' || type, created_at, xact from order_events
                where xact = any($2::text[]::xid8[])
               union all
               select subject, sequence, type, created_at, xact from entity_events where xact >= $1::text::xid8
               union all
               select subject, sequence, type, created_at, xact from entity_events
                where xact = any($2::text[]::xid8[])),
           mine as materialized (
               select * from fresh
                where $4::bigint = 1 or (hashtextextended(subject::text, 0) & 9223372036854775807) % $4 = $5),
           sorted as materialized (
               select subject, sequence, type, created_at, row_number() over (order by at, subject, sequence) as n
                 from (select *, max(created_at) over (partition by subject order by sequence) as at from mine) m),
           fed as (
               insert into feed (position, subject, sequence, type, created_at)
               select $3 + n, subject, sequence, type, created_at from sorted order by n)
           select count(*) as "events!",
                  coalesce(bool_or(xact >= pg_snapshot_xmax($6::text::pg_snapshot)), false) as "foreign!" from mine"#,
        head.xmax,
        &head.running,
        last,
        parts,
        part,
        head.sees,
    )
    .fetch_one(tx)
    .await?;
    // Postgres shows nobody a transaction that has not begun. So this row was written in another database and restored.
    if done.foreign { Err(Error::FeedOfAnotherDatabase) } else { Ok(done.events) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_grow_with_the_timeline_and_past_a_restored_dump() {
        let at = |timeline: i64, n: i64| timeline << TIMELINE_BITS | n;
        for (position, shift, timeline, is_other, expected) in [
            (0, 0, 1, false, (at(1, 0), 0)),
            (at(1, 7), 0, 1, false, (at(1, 7), 0)),
            // A promotion.
            (at(1, 7), 0, 2, false, (at(2, 0), 0)),
            // A dump of timeline 3, restored into a new cluster; then a promotion there.
            (at(3, 7), 0, 1, true, (at(1_003, 0), 1_002)),
            (at(1_003, 9), 1_002, 1, false, (at(1_003, 9), 1_002)),
            (at(1_003, 9), 1_002, 2, false, (at(1_004, 0), 1_002)),
        ] {
            let (xmax, running, sees) = (String::new(), Vec::new(), String::new());
            let head = Head { position, xmax, running, is_ahead: false, is_other, shift, timeline, sees };
            assert_eq!(head.base(), expected, "{position} {shift} {timeline} {is_other}");
        }
    }
}
