//! The endpoints: register, change, pause, enable, rotate the secret, delete.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::jobs::SHARDS;
use super::wanted::EventPattern;
use super::{wake, wanted};
use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::invalid::Invalid;
use crate::page::{List, Page};
use crate::platform::db::CustomPlan;
use crate::principal::{By, Principal};
use crate::queue::Ring;
use crate::values::whole_number::WholeNumber;
use crate::values::{Description, WebhookId, given};

/// Each endpoint multiplies what is sent.
pub const MOST_ENDPOINTS: i64 = 50;
/// `pending` is counted up to here; more takes too long to count.
const COUNTED: i64 = 1_000_000;

/// Does an endpoint get events?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum WebhookState {
    Enabled,
    /// By a person: events gather
    Paused,
    /// By Millrace, because nothing arrived: events gather
    Disabled,
}

/// Why Millrace disabled an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum DisabledReason {
    /// It answered 410
    Gone,
    /// Nothing succeeded for three days
    Failing,
}

/// An endpoint, without its secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d05", "url": "https://erp.example/hooks", "types": ["order.*"],
    "description": "The ERP", "max_per_second": null, "state": "enabled", "disabled_reason": null, "failing_since": null,
    "last_success_at": "2026-11-21T08:00:00Z", "previous_until": null, "pending": 0,
    "created_by": {"id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d01", "name": "Sam Staff"}, "version": 1,
    "created_at": "2026-11-21T07:00:00Z", "updated_at": "2026-11-21T07:00:00Z"
}))]
pub struct WebhookView {
    pub id: WebhookId,
    pub url: String,
    pub types: Vec<String>,
    pub description: Option<Description>,
    /// The most attempts in a second; null: no limit
    pub max_per_second: Option<i32>,
    pub state: WebhookState,
    pub disabled_reason: Option<DisabledReason>,
    /// Since then nothing has arrived and it is only probed
    pub failing_since: Option<DateTime<Utc>>,
    pub last_success_at: Option<DateTime<Utc>>,
    /// Until then the secret before also signs
    pub previous_until: Option<DateTime<Utc>>,
    /// How many deliveries wait, held ones too; counted up to a million
    pub pending: i64,
    pub created_by: By,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// An endpoint that waits for a person.
#[derive(Debug)]
pub struct DisabledWebhook {
    pub id: WebhookId,
    pub url: String,
    pub reason: DisabledReason,
}

/// The endpoints that Millrace has disabled.
pub async fn disabled(conn: &mut PgConnection) -> Result<Vec<DisabledWebhook>> {
    Ok(sqlx::query_as!(
        DisabledWebhook,
        r#"select id as "id: WebhookId", url, disabled_reason as "reason!: DisabledReason" from webhook_endpoints
            where state = 'disabled' and deleted_at is null order by id"#,
    )
    .fetch_all(conn)
    .await?)
}

/// Attempts in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "WholeNumber")]
#[schema(value_type = i32, minimum = 1, maximum = 1000, example = 20)]
pub struct MaxPerSecond(i32);

impl TryFrom<WholeNumber> for MaxPerSecond {
    type Error = Invalid;

    fn try_from(WholeNumber(number): WholeNumber) -> Result<Self, Invalid> {
        match i32::try_from(number) {
            Ok(number @ 1..=1000) => Ok(Self(number)),
            _ => Err(Invalid::new("invalid_value", "it is from 1 to 1,000")),
        }
    }
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"url": "https://erp.example/hooks", "types": ["order.*", "stock.low"], "description": "The ERP"}))]
pub struct NewWebhook {
    /// https, to the public internet; `WEBHOOK_ALLOW` opens inner networks
    #[schema(max_length = 2000, pattern = r"^[^\u0000]*$")]
    pub url: String,
    /// Names of types, `order.*`, or `*`
    #[schema(min_items = 1, max_items = 50, value_type = Vec<EventPattern>)]
    pub types: Vec<String>,
    pub description: Option<Description>,
    pub max_per_second: Option<MaxPerSecond>,
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"types": ["order.*"]}))]
pub struct ChangeWebhook {
    /// Holds for the next attempt of all deliveries
    #[schema(max_length = 2000, pattern = r"^[^\u0000]*$")]
    pub url: Option<String>,
    /// Holds for later events
    #[schema(min_items = 1, max_items = 50, value_type = Option<Vec<EventPattern>>)]
    pub types: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Description>)]
    pub description: Option<Option<Description>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<MaxPerSecond>)]
    pub max_per_second: Option<Option<MaxPerSecond>>,
}

/// How long the secret before also signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "WholeNumber")]
#[schema(value_type = i32, minimum = 0, maximum = 168, example = 24)]
pub struct OverlapHours(i32);

impl TryFrom<WholeNumber> for OverlapHours {
    type Error = Invalid;

    fn try_from(WholeNumber(number): WholeNumber) -> Result<Self, Invalid> {
        match i32::try_from(number) {
            Ok(number @ 0..=168) => Ok(Self(number)),
            _ => Err(Invalid::new("invalid_value", "it is from 0 to 168 hours")),
        }
    }
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"overlap_hours": 24}))]
pub struct RotateSecret {
    /// 24 by default; 0: the old secret ends at once
    pub overlap_hours: Option<OverlapHours>,
}

/// The number of the new secret.
#[derive(Debug, Clone, Copy)]
pub struct RotatedSecret {
    pub number: i32,
    pub previous_until: Option<DateTime<Utc>>,
}

struct WebhookColumns {
    id: WebhookId,
    url: String,
    types: Vec<String>,
    description: Option<Description>,
    max_per_second: Option<i32>,
    state: WebhookState,
    disabled_reason: Option<DisabledReason>,
    failing_since: Option<DateTime<Utc>>,
    last_success_at: Option<DateTime<Utc>>,
    previous_until: Option<DateTime<Utc>>,
    pending: i64,
    created_by: uuid::Uuid,
    created_by_name: String,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<WebhookColumns> for WebhookView {
    fn from(row: WebhookColumns) -> Self {
        Self {
            id: row.id,
            url: row.url,
            types: row.types,
            description: row.description,
            max_per_second: row.max_per_second,
            state: row.state,
            disabled_reason: row.disabled_reason,
            failing_since: row.failing_since,
            last_success_at: row.last_success_at,
            previous_until: row.previous_until,
            pending: row.pending,
            created_by: By { id: row.created_by, name: row.created_by_name },
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Oldest first.
pub async fn list(conn: &mut PgConnection, page: &Page) -> Result<List<WebhookView>> {
    let rows = read(conn, None, page.after_id(), page.fetch()).await?;
    Ok(page.list(rows, |webhook| webhook.id.0.into()))
}

pub async fn get(conn: &mut PgConnection, id: WebhookId) -> Result<WebhookView> {
    read(conn, Some(id), None, 1).await?.pop().ok_or(Error::NotFound(Resource::Webhook))
}

/// Cheaper than `get`, which counts what waits.
pub(super) async fn state(conn: &mut PgConnection, id: WebhookId) -> Result<WebhookState> {
    sqlx::query_scalar!(
        r#"select state as "state: WebhookState" from webhook_endpoints where id = $1 and deleted_at is null"#,
        id.0
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound(Resource::Webhook))
}

async fn read(
    conn: &mut PgConnection,
    id: Option<WebhookId>,
    after: Option<uuid::Uuid>,
    limit: i64,
) -> Result<Vec<WebhookView>> {
    let rows = sqlx::query_as!(
        WebhookColumns,
        r#"select e.id as "id: WebhookId", url, types, description as "description: Description", max_per_second,
                  state as "state: WebhookState", disabled_reason as "disabled_reason: DisabledReason", failing_since,
                  last_success_at, case when previous_until > now() then previous_until end as previous_until,
                  (select count(*) from (select from webhook_deliveries d
                                          where d.endpoint_id = e.id and d.state = 'pending' limit $4) waiting) as "pending!",
                  created_by, created_by_name, version, created_at, updated_at
             from webhook_endpoints e
            where deleted_at is null and ($1::uuid is null or id = $1) and ($2::uuid is null or id > $2)
            order by id limit $3"#,
        id.map(|id| id.0),
        after,
        limit,
        COUNTED,
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    Ok(rows.into_iter().map(WebhookView::from).collect())
}

/// Registers an endpoint. The caller has judged its URL. It gets what happens from now on.
pub async fn create(conn: &mut PgConnection, principal: &Principal, new: &NewWebhook) -> Result<WebhookView> {
    let types = wanted::checked(&new.types)?;
    let by = principal.by().ok_or(Error::Forbidden { needed: "staff" })?;
    // Two that are created at the same time must not both be the fiftieth.
    sqlx::query!("select position from webhook_head for no key update").fetch_one(&mut *conn).await?;
    let id = WebhookId::new();
    let created = sqlx::query!(
        "insert into webhook_endpoints (id, url, description, types, max_per_second, after_position, created_by, created_by_name)
         select $1, $2, $3, $4, $5, (select position from feed_head), $6, $7
          where (select count(*) from webhook_endpoints where deleted_at is null) < $8",
        id.0,
        new.url,
        new.description.as_ref().map(Description::as_str),
        &types,
        new.max_per_second.map(|most| most.0),
        by.id,
        by.name,
        MOST_ENDPOINTS,
    )
    .execute(&mut *conn)
    .await?;
    if created.rows_affected() == 0 {
        return Err(Error::TooManyWebhooks { limit: MOST_ENDPOINTS });
    }
    sqlx::query!(
        "insert into webhook_pumps (endpoint_id, shard) select $1, shard from generate_series(0, $2::int - 1) shard",
        id.0,
        i32::from(SHARDS),
    )
    .execute(&mut *conn)
    .await?;
    actions::record(conn, principal, Action::new("webhook.created", "webhook", id)).await?;
    get(conn, id).await
}

/// Changes the given fields. With `seen`, only if the endpoint still has that version. The caller has judged the URL.
pub async fn change(
    conn: &mut PgConnection,
    principal: &Principal,
    id: WebhookId,
    seen: Option<i32>,
    change: &ChangeWebhook,
) -> Result<WebhookView> {
    let types = change.types.as_deref().map(wanted::checked).transpose()?;
    let changed = sqlx::query_scalar!(
        r#"update webhook_endpoints e
              set url = coalesce($3, e.url),
                  types = coalesce($4, e.types),
                  description = case when $5 then $6 else e.description end,
                  max_per_second = case when $7 then $8 else e.max_per_second end,
                  version = e.version + 1,
                  updated_at = statement_timestamp()
             from (select * from webhook_endpoints where id = $1 and deleted_at is null for no key update) old
            where e.id = old.id and ($2::int is null or e.version = $2)
        returning array_remove(array[
                  case when e.url <> old.url then 'url' end,
                  case when e.types <> old.types then 'types' end,
                  case when e.description is distinct from old.description then 'description' end,
                  case when e.max_per_second is distinct from old.max_per_second then 'max_per_second' end], null)
                  as "changed!: Vec<String>""#,
        id.0,
        seen,
        change.url,
        types.as_deref(),
        change.description.is_some(),
        change.description.as_ref().and_then(|it| it.as_ref()).map(Description::as_str),
        change.max_per_second.is_some(),
        change.max_per_second.flatten().map(|most| most.0),
    )
    .fetch_optional(&mut *conn)
    .await?;
    let webhook = get(conn, id).await?;
    let changed = changed.ok_or(Error::VersionMismatch)?;
    if !changed.is_empty() {
        actions::record(conn, principal, Action::changed("webhook.changed", "webhook", id, &changed)).await?;
    }
    Ok(webhook)
}

/// Nothing more is sent, but for what is out already. Repeating it changes nothing.
pub async fn pause(conn: &mut PgConnection, principal: &Principal, id: WebhookId) -> Result<WebhookView> {
    let paused = sqlx::query!(
        "update webhook_endpoints set state = 'paused', version = version + 1, updated_at = statement_timestamp()
          where id = $1 and state = 'enabled' and deleted_at is null",
        id.0,
    )
    .execute(&mut *conn)
    .await?;
    let webhook = get(conn, id).await?;
    if webhook.state == WebhookState::Disabled {
        return Err(Error::WebhookDisabled);
    }
    if paused.rows_affected() > 0 {
        actions::record(conn, principal, Action::new("webhook.paused", "webhook", id)).await?;
    }
    Ok(webhook)
}

/// Sends again, and first what has gathered. Repeating it changes nothing.
pub async fn enable(conn: &mut PgConnection, principal: &Principal, id: WebhookId) -> Result<(WebhookView, Vec<Ring>)> {
    let enabled = sqlx::query!(
        "update webhook_endpoints
            set state = 'enabled', disabled_reason = null, failures = 0, failing_since = null, probes = 0, probe_at = null,
                version = version + 1, updated_at = statement_timestamp()
          where id = $1 and state <> 'enabled' and deleted_at is null",
        id.0,
    )
    .execute(&mut *conn)
    .await?;
    let mut rings = Vec::new();
    if enabled.rows_affected() > 0 {
        let shards = wake::all_of(id);
        wake::lock(conn, &shards).await?;
        sqlx::query!(
            "update webhook_deliveries set next_attempt_at = now()
              where endpoint_id = $1 and shard = any($2) and state = 'pending' and next_attempt_at > now()",
            id.0,
            &(0..SHARDS).collect::<Vec<_>>(),
        )
        .execute(&mut *conn)
        .await?;
        actions::record(conn, principal, Action::new("webhook.enabled", "webhook", id)).await?;
        rings = wake::wake(conn, &shards, None).await?;
    }
    Ok((get(conn, id).await?, rings))
}

/// Raises the number of the secret.
pub async fn rotate(
    conn: &mut PgConnection,
    principal: &Principal,
    id: WebhookId,
    asked: &RotateSecret,
) -> Result<RotatedSecret> {
    let hours = asked.overlap_hours.map_or(24, |hours| hours.0);
    let rotated = sqlx::query_as!(
        RotatedSecret,
        "update webhook_endpoints
            set secret_number = secret_number + 1,
                previous_until = case when $2 > 0 then t.until end,
                version = version + 1, updated_at = statement_timestamp()
           from (select statement_timestamp() + make_interval(hours => $2) as until) t
          where id = $1 and deleted_at is null and (previous_until is null or previous_until <= now())
         returning secret_number as number, previous_until",
        id.0,
        hours,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(rotated) = rotated else {
        get(conn, id).await?;
        return Err(Error::RotationInProgress);
    };
    actions::record(conn, principal, Action::new("webhook.secret_rotated", "webhook", id)).await?;
    Ok(rotated)
}

/// Nothing more is sent. Its rows are removed later, in steps.
pub async fn delete(conn: &mut PgConnection, principal: &Principal, id: WebhookId, seen: Option<i32>) -> Result<()> {
    let deleted = sqlx::query!(
        "update webhook_endpoints set deleted_at = statement_timestamp()
          where id = $1 and deleted_at is null and ($2::int is null or version = $2)",
        id.0,
        seen,
    )
    .execute(&mut *conn)
    .await?;
    if deleted.rows_affected() == 0 {
        get(conn, id).await?;
        return Err(Error::VersionMismatch);
    }
    actions::record(conn, principal, Action::new("webhook.deleted", "webhook", id)).await
}

/// How many endpoints are in which state.
#[derive(Debug, Clone, Copy, Default)]
pub struct WebhookCounts {
    pub enabled: i64,
    /// Of those that are enabled.
    pub failing: i64,
    pub paused: i64,
    pub disabled: i64,
}

pub async fn count(conn: &mut PgConnection) -> Result<WebhookCounts> {
    Ok(sqlx::query_as!(
        WebhookCounts,
        r#"select count(*) filter (where state = 'enabled') as "enabled!",
                  count(*) filter (where state = 'enabled' and failing_since is not null) as "failing!",
                  count(*) filter (where state = 'paused') as "paused!", count(*) filter (where state = 'disabled') as "disabled!"
             from webhook_endpoints where deleted_at is null"#
    )
    .fetch_one(conn)
    .await?)
}

/// Locks an endpoint against being deleted, before pumps are locked.
pub(super) async fn hold(conn: &mut PgConnection, id: WebhookId) -> Result<WebhookState> {
    sqlx::query_scalar!(
        r#"select state as "state: WebhookState" from webhook_endpoints where id = $1 and deleted_at is null for key share"#,
        id.0,
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound(Resource::Webhook))
}
