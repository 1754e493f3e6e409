//! Writes a delivery for each new event of the feed and each endpoint that wants it.
//!
//! It reads the feed like any other reader, from the position that `webhook_head` remembers, and moves that in the same
//! transaction. So an event is written once, whatever is killed, and what is wrong here does not stop the feed.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::jobs::shard_of;
use super::wake::{self, Shard};
use super::wanted;
use crate::error::{Error, Result};
use crate::feed::read::{self, FeedRow};
use crate::platform::db::{CustomPlan, prefer_ordered_indexes};
use crate::queue::Ring;
use crate::values::WebhookId;

/// Events of one transaction.
const PAGE: i64 = 1_000;
/// A test goes to the endpoint that it is about, whatever its types.
pub(super) const TEST: &str = "webhook.test";

/// An event and an endpoint that gets it.
pub(super) type Wanted<'a> = (WebhookId, &'a FeedRow);

/// What one round did.
#[derive(Debug, Default)]
pub struct Filled {
    pub rings: Vec<Ring>,
    /// More may be there.
    pub is_full: bool,
}

struct Subscriber {
    id: WebhookId,
    types: Vec<String>,
    after_position: i64,
}

impl Subscriber {
    fn wants(&self, row: &FeedRow) -> bool {
        let fits = if row.name == TEST { row.subject == self.id.0 } else { wanted::matches(&self.types, &row.name) };
        fits && row.position > self.after_position
    }
}

/// Is there anything new in the feed? It takes no lock, so it may be asked often.
pub async fn is_behind(conn: &mut PgConnection) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from feed where position > (select position from webhook_head)) as "behind!""#
    )
    .fetch_one(conn)
    .await?)
}

/// Takes the next events. One process does this at a time; a second one does nothing.
pub async fn fill(conn: &mut PgConnection) -> Result<Filled> {
    let head = sqlx::query_scalar!("select position from webhook_head for no key update skip locked")
        .fetch_optional(&mut *conn)
        .await?;
    let Some(head) = head else { return Ok(Filled::default()) };
    let subscribers = subscribers(conn).await?;
    // Without endpoints, all that is there is passed over at once.
    let page = if subscribers.is_empty() { None } else { Some(PAGE) };
    let rows = match page {
        Some(page) => rows_after(conn, head, page).await?,
        None => Vec::new(),
    };
    let upto = match rows.last() {
        Some(last) => Some(last.position),
        None if page.is_none() => end_of_feed(conn).await?,
        None => None,
    };
    let Some(upto) = upto.filter(|upto| *upto > head) else { return Ok(Filled::default()) };
    let wanted: Vec<Wanted<'_>> =
        rows.iter().flat_map(|row| subscribers.iter().filter(|it| it.wants(row)).map(move |it| (it.id, row))).collect();
    let rings = enter(conn, &wanted, false).await?;
    sqlx::query!("update webhook_head set position = $1", upto).execute(conn).await?;
    Ok(Filled { rings, is_full: page.is_some_and(|page| i64::try_from(rows.len()).is_ok_and(|found| found == page)) })
}

/// The endpoints, locked against being removed.
async fn subscribers(conn: &mut PgConnection) -> Result<Vec<Subscriber>> {
    Ok(sqlx::query_as!(
        Subscriber,
        r#"select id as "id: WebhookId", types, after_position from webhook_endpoints
            where deleted_at is null order by id for key share"#,
    )
    .fetch_all(conn)
    .await?)
}

async fn end_of_feed(conn: &mut PgConnection) -> Result<Option<i64>> {
    Ok(sqlx::query_scalar!("select position from feed order by position desc limit 1").fetch_optional(conn).await?)
}

/// The events after a position.
pub(super) async fn rows_after(conn: &mut PgConnection, position: i64, limit: i64) -> Result<Vec<FeedRow>> {
    Ok(sqlx::query_as!(
        FeedRow,
        "select position, subject, sequence, type as name, created_at as at from feed
          where position > $1 order by position limit $2",
        position,
        limit,
    )
    .fetch_all(conn)
    .await?)
}

/// Writes deliveries with their bodies, and wakes their jobs. A delivery that exists already stays as it is. The caller
/// has locked the endpoints. `replayed`: later events of the same subjects may have been delivered before.
pub(super) async fn enter(conn: &mut PgConnection, wanted: &[Wanted<'_>], replayed: bool) -> Result<Vec<Ring>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let kept = write_bodies(conn, wanted).await?;
    let wanted: Vec<&Wanted<'_>> = wanted.iter().filter(|(_, row)| kept.contains(&row.position)).collect();
    let shards: BTreeSet<Shard> = wanted.iter().map(|(id, row)| (*id, shard_of(row.subject))).collect();
    let rings = wake::wake(conn, &shards.into_iter().collect::<Vec<_>>(), None).await?;
    prefer_ordered_indexes(conn).await?;
    // One that comes after a parked delivery of its subject waits as long as that one.
    sqlx::query!(
        "insert into webhook_deliveries (endpoint_id, position, subject, sequence, type, at, shard, replayed, next_attempt_at)
         select w.*, $8, greatest(now(), (select d.next_attempt_at from webhook_deliveries d
                                       where d.endpoint_id = w.endpoint_id and d.subject = w.subject and d.state = 'pending'
                                         and d.sequence < w.sequence
                                       order by d.endpoint_id, d.subject, d.sequence desc limit 1))
           from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::int[], $5::text[], $6::timestamptz[], $7::smallint[])
                w (endpoint_id, position, subject, sequence, type, at, shard)
         on conflict do nothing",
        &wanted.iter().map(|(id, _)| id.0).collect::<Vec<Uuid>>(),
        &wanted.iter().map(|(_, row)| row.position).collect::<Vec<_>>(),
        &wanted.iter().map(|(_, row)| row.subject).collect::<Vec<_>>(),
        &wanted.iter().map(|(_, row)| row.sequence).collect::<Vec<_>>(),
        &wanted.iter().map(|(_, row)| row.name.clone()).collect::<Vec<String>>(),
        &wanted.iter().map(|(_, row)| row.at).collect::<Vec<DateTime<Utc>>>(),
        &wanted.iter().map(|(_, row)| shard_of(row.subject)).collect::<Vec<_>>(),
        replayed,
    )
    .execute(CustomPlan(conn))
    .await?;
    Ok(rings)
}

/// Writes what is sent, once for all endpoints. Returns the positions that have a body; an event that the feed no longer
/// keeps has none.
async fn write_bodies(conn: &mut PgConnection, wanted: &[Wanted<'_>]) -> Result<BTreeSet<i64>> {
    let mut rows: Vec<FeedRow> = wanted.iter().map(|(_, row)| (*row).clone()).collect();
    rows.sort_by_key(|row| row.position);
    rows.dedup_by_key(|row| row.position);
    let events = read::events(conn, &rows).await?;
    let by_id: std::collections::HashMap<(Uuid, i32), i64> =
        rows.iter().map(|row| ((row.subject, row.sequence), row.position)).collect();
    let (mut positions, mut bodies) = (Vec::new(), Vec::new());
    for event in &events {
        let Some(position) = by_id.get(&(event.subject.id, event.sequence)) else { continue };
        positions.push(*position);
        bodies.push(serde_json::to_string(&read::as_delivered(event)).map_err(Error::internal)?);
    }
    sqlx::query!(
        "insert into webhook_bodies (position, body) select * from unnest($1::bigint[], $2::text[]) on conflict do nothing",
        &positions,
        &bodies,
    )
    .execute(conn)
    .await?;
    Ok(positions.into_iter().collect())
}
