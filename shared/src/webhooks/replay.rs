//! Sends many deliveries again: those that failed, or every event since a time, also from before the endpoint was made.
//! It goes in steps, each a job, so a replay of a million events holds no lock for long.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::endpoints;
use super::fill::{self, TEST, Wanted};
use super::jobs::{ReplayWebhooks, plan, shard_of};
use super::wake::{self, Shard};
use super::wanted::EventPattern;
use super::{deliveries, wanted};
use crate::actions::{self, Action};
use crate::error::{Error, Result};
use crate::feed::catalogue;
use crate::feed::cursor::After;
use crate::feed::read::FeedRow;
use crate::principal::Principal;
use crate::queue::{self, Ring};
use crate::values::WebhookId;

/// Events of one step.
const STEP: i64 = 500;

/// Which deliveries are sent again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplayOnly {
    #[default]
    Failed,
    /// Every event that fits the endpoint
    All,
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"from": "2026-11-21T00:00:00Z", "only": "failed", "dry_run": true}))]
pub struct ReplayWebhook {
    /// A `next_cursor` of GET /v1/events: what comes after it. This or `from`
    #[schema(max_length = 200, pattern = r"^[^\u0000]*$")]
    pub after: Option<String>,
    /// What happened at this time or later. This or `after`
    pub from: Option<DateTime<Utc>>,
    /// What happened before this time
    pub to: Option<DateTime<Utc>>,
    /// Of these types only: names, `order.*`, or `*`
    #[schema(min_items = 1, max_items = 50, value_type = Option<Vec<EventPattern>>)]
    pub types: Option<Vec<String>>,
    pub only: Option<ReplayOnly>,
    /// Only count
    #[serde(default)]
    pub dry_run: bool,
}

/// How many deliveries are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"count": 120}))]
pub struct ReplayCount {
    pub count: i64,
}

/// Which events a replay is about.
struct Selection {
    endpoint: WebhookId,
    /// Names of types, without patterns.
    types: Vec<String>,
    only: ReplayOnly,
    after: i64,
    upto: i64,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
}

/// Counts what would be sent again, and begins to do it unless that is all that was asked for.
pub async fn replay(
    conn: &mut PgConnection,
    principal: &Principal,
    id: WebhookId,
    asked: &ReplayWebhook,
) -> Result<(ReplayCount, Option<Ring>)> {
    let webhook = endpoints::get(conn, id).await?;
    let asked_types = asked.types.as_deref().map(wanted::checked).transpose()?;
    let fits = |name: &&str| {
        wanted::matches(&webhook.types, name) && asked_types.as_ref().is_none_or(|types| wanted::matches(types, name))
    };
    let types = catalogue::names().filter(fits).map(ToOwned::to_owned).collect();
    let (after, upto) = range(conn, asked).await?;
    let only = asked.only.unwrap_or_default();
    let selection = Selection { endpoint: id, types, only, after, upto, from: asked.from, to: asked.to };
    let count = selection.count(conn).await?;
    if asked.dry_run {
        return Ok((ReplayCount { count }, None));
    }
    endpoints::hold(conn, id).await?;
    let replay_id = Uuid::now_v7();
    sqlx::query!(
        "insert into webhook_replays (id, endpoint_id, types, only_failed, after_position, upto_position, from_time, upto_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        replay_id,
        id.0,
        &selection.types,
        only == ReplayOnly::Failed,
        after,
        upto,
        asked.from,
        asked.to,
    )
    .execute(&mut *conn)
    .await?;
    actions::record(conn, principal, Action::new("webhook.replayed", "webhook", id).data(json!({ "count": count })))
        .await?;
    let ring = queue::enqueue(conn, &ReplayWebhooks { replay_id }, &plan(std::time::Duration::ZERO)).await?;
    Ok((ReplayCount { count }, ring))
}

/// The position before the first event that may be meant, and that of the last one there is.
async fn range(conn: &mut PgConnection, asked: &ReplayWebhook) -> Result<(i64, i64)> {
    let head = sqlx::query!("select position, removed_to, removed_until from feed_head").fetch_one(&mut *conn).await?;
    let too_far_back = |field: &str| {
        let message =
            "the feed no longer keeps all events since then; GET /v1/events without `after` begins with the oldest";
        Error::field(field, "too_far_back", message)
    };
    let after = match (&asked.after, asked.from) {
        (Some(after), None) => match After::parse(Some(after))? {
            After::Position(position) if position < head.removed_to => Err(too_far_back("after")),
            After::Position(position) => Ok(position),
            After::Now => Ok(head.position),
            After::Oldest => Ok(head.removed_to),
        },
        (None, Some(from)) if head.removed_until.is_some_and(|until| from <= until) => Err(too_far_back("from")),
        (None, Some(from)) => first_since(conn, head.removed_to, head.position, from).await,
        (None, None) => Err(Error::field("from", "missing_field", "give `from` (a time) or `after` (a cursor)")),
        (Some(_), Some(_)) => Err(Error::field("from", "invalid_value", "give `from` or `after`, and not both")),
    };
    Ok((after?, head.position))
}

/// The last position that was numbered before this time: the numbers rise with the times at which they were given. An event
/// gets its number after it has happened, so all that happened since then come later.
async fn first_since(conn: &mut PgConnection, low: i64, high: i64, from: DateTime<Utc>) -> Result<i64> {
    let (mut low, mut high) = (low, high);
    while low < high {
        let middle = low + (high - low) / 2;
        let next =
            sqlx::query!("select position, fed_at from feed where position > $1 order by position limit 1", middle,)
                .fetch_optional(&mut *conn)
                .await?;
        match next {
            Some(next) if next.fed_at < from && next.position <= high => low = next.position,
            _ => high = middle,
        }
    }
    Ok(low)
}

impl Selection {
    async fn count(&self, conn: &mut PgConnection) -> Result<i64> {
        let count = match self.only {
            ReplayOnly::Failed => {
                sqlx::query_scalar!(
                    r#"select count(*) as "count!" from webhook_deliveries
                    where endpoint_id = $1 and state = 'failed' and position > $2 and position <= $3 and type = any($4)
                      and ($5::timestamptz is null or at >= $5) and ($6::timestamptz is null or at < $6)"#,
                    self.endpoint.0,
                    self.after,
                    self.upto,
                    &self.types,
                    self.from,
                    self.to,
                )
                .fetch_one(conn)
                .await?
            }
            ReplayOnly::All => {
                sqlx::query_scalar!(
                    r#"select count(*) as "count!" from feed f
                    where position > $2 and position <= $3 and type = any($4) and (type <> $7 or subject = $1)
                      and ($5::timestamptz is null or created_at >= $5) and ($6::timestamptz is null or created_at < $6)
                      and not exists (select from webhook_deliveries d
                                       where d.endpoint_id = $1 and d.position = f.position and d.state = 'pending')"#,
                    self.endpoint.0,
                    self.after,
                    self.upto,
                    &self.types,
                    self.from,
                    self.to,
                    TEST,
                )
                .fetch_one(conn)
                .await?
            }
        };
        Ok(count)
    }

    fn fits(&self, row: &FeedRow) -> bool {
        row.position <= self.upto
            && self.types.contains(&row.name)
            && (row.name != TEST || row.subject == self.endpoint.0)
            && self.from.is_none_or(|from| row.at >= from)
            && self.to.is_none_or(|to| row.at < to)
    }

    /// Sends the next events again. Returns how far it came; None: it is done.
    async fn step(&self, conn: &mut PgConnection) -> Result<(Option<i64>, Vec<Ring>)> {
        match self.only {
            ReplayOnly::Failed => self.step_of_failed(conn).await,
            ReplayOnly::All => self.step_of_all(conn).await,
        }
    }

    async fn step_of_failed(&self, conn: &mut PgConnection) -> Result<(Option<i64>, Vec<Ring>)> {
        let rows = sqlx::query!(
            "select position, shard from webhook_deliveries
              where endpoint_id = $1 and state = 'failed' and position > $2 and position <= $3 and type = any($4)
                and ($5::timestamptz is null or at >= $5) and ($6::timestamptz is null or at < $6)
              order by position limit $7",
            self.endpoint.0,
            self.after,
            self.upto,
            &self.types,
            self.from,
            self.to,
            STEP,
        )
        .fetch_all(&mut *conn)
        .await?;
        let Some(last) = rows.last().map(|row| row.position) else { return Ok((None, Vec::new())) };
        let rings = self.wake(conn, rows.iter().map(|row| row.shard)).await?;
        let positions: Vec<i64> = rows.iter().map(|row| row.position).collect();
        deliveries::again(conn, self.endpoint, &positions, true).await?;
        Ok((Some(last), rings))
    }

    async fn step_of_all(&self, conn: &mut PgConnection) -> Result<(Option<i64>, Vec<Ring>)> {
        let rows = fill::rows_after(conn, self.after, STEP).await?;
        let Some(last) = rows.last().map(|row| row.position) else { return Ok((None, Vec::new())) };
        let wanted: Vec<Wanted<'_>> =
            rows.iter().filter(|row| self.fits(row)).map(|row| (self.endpoint, row)).collect();
        let mut rings = self.wake(conn, wanted.iter().map(|(_, row)| shard_of(row.subject))).await?;
        let positions: Vec<i64> = wanted.iter().map(|(_, row)| row.position).collect();
        deliveries::again(conn, self.endpoint, &positions, false).await?;
        rings.extend(fill::enter(conn, &wanted, true).await?);
        Ok((Some(last).filter(|last| *last < self.upto), rings))
    }

    async fn wake(&self, conn: &mut PgConnection, shards: impl Iterator<Item = i16>) -> Result<Vec<Ring>> {
        let shards: std::collections::BTreeSet<Shard> = shards.map(|shard| (self.endpoint, shard)).collect();
        wake::wake(conn, &shards.into_iter().collect::<Vec<_>>(), None).await
    }
}

/// What became of a replay by its next step.
#[derive(Debug)]
pub struct ReplayStep {
    pub is_done: bool,
    pub rings: Vec<Ring>,
}

/// Takes the next step of a replay, in the transaction of the caller. After a crash it is taken again, which changes nothing.
pub async fn step(conn: &mut PgConnection, replay_id: Uuid) -> Result<ReplayStep> {
    let row = sqlx::query!(
        r#"select r.endpoint_id as "endpoint_id: WebhookId", r.types, r.only_failed, r.after_position, r.upto_position, r.from_time,
                  r.upto_time
             from webhook_replays r join webhook_endpoints e on e.id = r.endpoint_id and e.deleted_at is null
            where r.id = $1 for no key update of r for key share of e"#,
        replay_id,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(ReplayStep { is_done: true, rings: Vec::new() }) };
    let selection = Selection {
        endpoint: row.endpoint_id,
        types: row.types,
        only: if row.only_failed { ReplayOnly::Failed } else { ReplayOnly::All },
        after: row.after_position,
        upto: row.upto_position,
        from: row.from_time,
        to: row.upto_time,
    };
    let (reached, rings) = selection.step(conn).await?;
    match reached {
        Some(position) => {
            sqlx::query!("update webhook_replays set after_position = $2 where id = $1", replay_id, position)
                .execute(conn)
                .await?;
        }
        None => {
            sqlx::query!("delete from webhook_replays where id = $1", replay_id).execute(conn).await?;
        }
    }
    Ok(ReplayStep { is_done: reached.is_none(), rings })
}
