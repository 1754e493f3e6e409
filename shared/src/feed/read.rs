//! Pages of the feed, and what each event says. Writes no table.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::cursor::{self, After};
use super::timeline;
use super::{catalogue, record};
use crate::error::{Error, Result};
use crate::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::platform::db::CustomPlan;

/// Numbers that one page looks at. A filter that fits few events would otherwise read the whole feed.
const LOOKED_AT: i64 = 10_000;

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "evt_019a4f70-1b00-7e52-8c11-3d9a6f2b4c01_4", "type": "order.shipped", "at": "2026-11-21T09:31:07.120Z",
    "subject": { "type": "order", "id": "019a4f70-1b00-7e52-8c11-3d9a6f2b4c01" }, "sequence": 4,
    "data": {
        "number": "M-4XK29QC", "customer_id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d02", "status": "shipped", "by": null,
        "by_hand": false, "shipments": [{
            "id": "019a4f70-2b00-7e52-8c11-3d9a6f2b4c02", "warehouse_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d05",
            "tracking_number": "MR4XK29QC7ZD"
        }]
    }
}))]
pub struct FeedEvent {
    /// The same wherever the event is read: `evt_<subject>_<sequence>`
    pub id: String,
    pub r#type: String,
    pub at: DateTime<Utc>,
    pub subject: EventSubject,
    /// From 1 for each subject, without gaps
    pub sequence: i32,
    /// Depends on the type; `GET /v1/webhooks/event-types` has the schemas
    #[schema(value_type = Object)]
    pub data: Value,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventSubject {
    /// `order`, `product`, `stock` or `webhook`
    #[schema(example = "order")]
    pub r#type: String,
    pub id: Uuid,
}

/// A page of the feed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FeedPage {
    pub data: Vec<FeedEvent>,
    /// Where to go on: the last place that was looked at. Always given, also with an empty page
    #[schema(example = "AAABAAAAAAfSFq0B")]
    pub next_cursor: String,
    /// No event lies behind this page
    pub caught_up: bool,
    #[serde(skip)]
    pub position: i64,
}

/// Which events a reader wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedFilter {
    /// Types, `order.*` or `*`; empty: all.
    types: Vec<String>,
    pub subject: Option<Uuid>,
}

impl FeedFilter {
    /// `types` are patterns with commas between them.
    pub fn parse(types: Option<&str>, subject: Option<Uuid>) -> Result<Self> {
        let types: Vec<String> = types.map(|text| text.split(',').map(ToOwned::to_owned).collect()).unwrap_or_default();
        if let Some(unknown) = types.iter().find(|pattern| !catalogue::is_known(pattern)) {
            let message = format!("there is no type of event `{unknown}`; GET /v1/webhooks/event-types lists them");
            return Err(Error::field("types", "unknown_event_type", message));
        }
        Ok(Self { types, subject })
    }

    /// The types without those that a newer version writes; `None`: all types.
    fn names(&self) -> Option<Vec<String>> {
        let all = self.types.is_empty() || self.types.iter().any(|pattern| pattern == "*");
        (!all).then(|| self.types.iter().filter(|pattern| !pattern.ends_with(".*")).cloned().collect())
    }

    /// `order` for `order.*`.
    fn subjects(&self) -> Vec<String> {
        self.types.iter().filter_map(|pattern| pattern.strip_suffix(".*")).map(ToOwned::to_owned).collect()
    }

    fn is_plain(&self) -> bool {
        self.subject.is_none() && self.names().is_none()
    }
}

/// A row of the feed: which event it is, without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRow {
    pub position: i64,
    pub subject: Uuid,
    pub sequence: i32,
    pub name: String,
    pub at: DateTime<Utc>,
}

/// The number of events of a page.
pub fn limit(asked: Option<i64>) -> Result<i64> {
    let limit = asked.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    Err(Error::field("limit", "invalid_limit", format!("it must be from 1 to {MAX_LIMIT}")))
}

/// The position from which a reader goes on.
pub async fn start(conn: &mut PgConnection, after: After) -> Result<i64> {
    if let After::Position(position) = after {
        return Ok(position);
    }
    let head = sqlx::query!("select position, removed_to from feed_head").fetch_one(conn).await?;
    Ok(if after == After::Now { head.position } else { head.removed_to })
}

/// The events after a position that pass the filter.
///
/// One statement finds them, so it sees whole passes of the sequencer, and no position that comes later is before one that
/// it has seen.
pub async fn page(conn: &mut PgConnection, after: i64, filter: &FeedFilter, limit: i64) -> Result<FeedPage> {
    // Events are removed with their numbers. If that happens between the statements, the second try finds it out.
    for _ in 0..2 {
        let (rows, looked_to, head) = rows(conn, after, filter, limit).await?;
        let events = events(conn, &rows).await?;
        if events.len() == rows.len() {
            let caught_up = looked_to >= head;
            return Ok(FeedPage {
                data: events,
                next_cursor: cursor::encode(looked_to),
                caught_up,
                position: looked_to,
            });
        }
    }
    Err(Error::internal("an event of the feed is not in its timeline"))
}

/// The rows of a page, how far it looked, and the end of the feed.
async fn rows(
    conn: &mut PgConnection,
    after: i64,
    filter: &FeedFilter,
    limit: i64,
) -> Result<(Vec<FeedRow>, i64, i64)> {
    let look = if filter.is_plain() { limit } else { LOOKED_AT };
    let found = sqlx::query!(
        r#"with head as materialized (select position, removed_to from feed_head),
           looked as materialized (
               select f.position, f.subject, f.sequence, f.type, f.created_at from feed f
                where f.position > $1 and $5::uuid is null order by f.position limit $2),
           own as materialized (
               select f.position, f.subject, f.sequence, f.type, f.created_at from feed f
                where f.subject = $5 and f.position > $1 order by f.sequence limit $2),
           seen as (select * from looked union all select * from own),
           fit as materialized (
               select * from seen
                where $3::text[] is null or type = any($3) or split_part(type, '.', 1) = any($4)
                order by position limit $6)
           select h.position as head, h.removed_to, (select count(*) from seen) as "seen!",
                  (select max(position) from seen) as last_seen,
                  fit.position as "position?", fit.subject as "subject?", fit.sequence as "sequence?",
                  fit.type as "name?", fit.created_at as "at?"
             from head h left join fit on true order by fit.position"#,
        after,
        look,
        filter.names() as Option<Vec<String>>,
        &filter.subjects(),
        filter.subject,
        limit,
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    let first = found.first().ok_or_else(|| Error::internal("the feed has no head"))?;
    if after < first.removed_to {
        return Err(Error::CursorExpired { oldest: cursor::encode(first.removed_to) });
    }
    let (head, all_seen, last_seen) = (first.head, first.seen < look, first.last_seen);
    let rows: Vec<FeedRow> = found
        .into_iter()
        .filter_map(|row| {
            let (position, subject, sequence) = (row.position?, row.subject?, row.sequence?);
            Some(FeedRow { position, subject, sequence, name: row.name?, at: row.at? })
        })
        .collect();
    let is_full = i64::try_from(rows.len()).is_ok_and(|found| found == limit);
    let looked_to = match rows.last() {
        Some(last) if is_full => last.position,
        // Everything up to the end. The cursor of a reader who was further before a promotion does not go back.
        _ if all_seen => head.max(after),
        _ => last_seen.unwrap_or(after),
    };
    Ok((rows, looked_to, head))
}

/// What these events say, in the same order. An event that was removed is left out.
pub async fn events(conn: &mut PgConnection, rows: &[FeedRow]) -> Result<Vec<FeedEvent>> {
    let (orders, others): (Vec<&FeedRow>, Vec<&FeedRow>) =
        rows.iter().partition(|row| catalogue::subject_of(&row.name) == "order");
    let orders: Vec<(Uuid, i32)> = orders.iter().map(|row| (row.subject, row.sequence)).collect();
    let mut data = timeline::data(conn, &orders).await?;
    data.extend(entity_data(conn, &others).await?);
    let event = |row: &FeedRow| {
        Some(FeedEvent {
            id: record::event_id(row.subject, row.sequence),
            r#type: row.name.clone(),
            at: row.at,
            subject: EventSubject { r#type: catalogue::subject_of(&row.name).to_owned(), id: row.subject },
            sequence: row.sequence,
            data: data.get(&(row.subject, row.sequence))?.clone(),
        })
    };
    Ok(rows.iter().filter_map(event).collect())
}

async fn entity_data(conn: &mut PgConnection, rows: &[&FeedRow]) -> Result<Vec<((Uuid, i32), Value)>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let found = sqlx::query!(
        "select e.subject, e.sequence, e.data
           from unnest($1::uuid[], $2::int[]) asked (subject, sequence) join entity_events e using (subject, sequence)",
        &rows.iter().map(|row| row.subject).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.sequence).collect::<Vec<_>>(),
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(|row| ((row.subject, row.sequence), row.data)).collect())
}

/// An event as webhooks send it: with `timestamp` for `at`.
pub fn as_delivered(event: &FeedEvent) -> Value {
    json!({
        "id": event.id, "type": event.r#type, "timestamp": event.at, "subject": event.subject,
        "sequence": event.sequence, "data": event.data,
    })
}
