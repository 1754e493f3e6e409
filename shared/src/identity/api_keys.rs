//! API keys of service accounts: making, listing, rotating and revoking them. Alone writes `api_keys`.
//!
//! The database has only the hash of a key. Its text is shown once, to the person who made it.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};

use super::key_text::{Mode, NewKeyText};
use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::invalid::Invalid;
use crate::page::{List, Page};
use crate::platform::addresses;
use crate::platform::db::CustomPlan;
use crate::principal::{By, Principal};
use crate::scope::{Scope, Scopes};
use crate::values::whole_number::WholeNumber;
use crate::values::{ApiKeyId, Name, UserId};

/// A key that nobody renews should not live for ever.
const MAX_DAYS: i64 = 365;
const DEFAULT_DAYS: i64 = 90;

/// A week to bring the new key to all machines.
const MAX_OVERLAP_HOURS: i64 = 168;
const DEFAULT_OVERLAP_HOURS: i64 = 24;

/// More ranges than a program has places.
const MAX_ADDRESSES: usize = 20;

const MAX_LIMIT_PER_MINUTE: i64 = 100_000;

/// Every provider of payments that there is takes no money.
const MODE: Mode = Mode::Test;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, strum::VariantArray, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum KeyState {
    Active,
    /// Rotated, and good until `expires_at`
    Replaced,
    Expired,
    Revoked,
}

impl KeyState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Replaced => "replaced",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// A key, without its secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d12", "service_account_id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d11",
    "name": "production", "prefix": "mr_test_4kTz9QxW", "scopes": ["orders:write"], "allowed_ips": ["203.0.113.0/24"],
    "limit_per_minute": 600, "state": "active",
    "created_by": { "id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d01", "name": "Ada Admin" },
    "created_at": "2026-11-21T09:30:00Z", "expires_at": "2027-02-19T09:30:00Z", "revoked_at": null, "replaced_by": null,
    "last_used_at": "2026-11-21T09:41:00Z", "last_used_ip": "203.0.113.7"
}))]
pub struct ApiKeyView {
    pub id: ApiKeyId,
    pub service_account_id: UserId,
    pub name: String,
    /// The beginning of the key, by which people recognise it
    pub prefix: String,
    #[schema(value_type = Vec<Scope>)]
    pub scopes: Vec<String>,
    /// Empty: any address
    pub allowed_ips: Vec<String>,
    pub limit_per_minute: Option<i32>,
    pub state: KeyState,
    pub created_by: By,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
    /// The key that rotation made in place of this one
    pub replaced_by: Option<ApiKeyId>,
    /// At most 90 s late
    pub last_used_at: Option<DateTime<Utc>>,
    pub last_used_ip: Option<String>,
    #[serde(skip)]
    pub version: i32,
}

/// A key that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewApiKeyView {
    #[serde(flatten)]
    pub view: ApiKeyView,
    /// The key itself, shown once. Null in a replay: we do not store it
    #[schema(example = "mr_test_4kTz9QxW_0f3Jq8YvN2LmXc7RbT5wKdH1sPzG6uEa_2Qx9Lf")]
    pub key: Option<String>,
}

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "production", "scopes": ["orders:write", "inventory:read"], "expires_in_days": 90 }))]
pub struct NewApiKey {
    pub name: Name,
    #[schema(min_items = 1)]
    pub scopes: Vec<Scope>,
    /// 90 unless you say otherwise; or give `expires_at`
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 365)]
    pub expires_in_days: Option<WholeNumber>,
    /// At most 365 days from now
    pub expires_at: Option<DateTime<Utc>>,
    /// Addresses and networks from which the key may be used; none: any
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, max_items = 20, example = json!(["203.0.113.7", "2001:db8::/32"]))]
    pub allowed_ips: Option<Vec<AllowedAddress>>,
    /// In place of the limits of each class of route
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 100_000)]
    pub limit_per_minute: Option<WholeNumber>,
}

/// An address or a network, in its normal form.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AllowedAddress(String);

impl TryFrom<String> for AllowedAddress {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let text = text.trim();
        let network = addresses::network(text).ok_or_else(|| {
            let message = "it is neither an address such as 203.0.113.7 nor a network such as 203.0.113.0/24";
            Invalid::new("invalid_address", message)
        })?;
        let is_address = text.parse::<IpAddr>().is_ok();
        Ok(Self(if is_address { network.addr().to_string() } else { network.to_string() }))
    }
}

/// How a key is rotated.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "overlap_hours": 24 }))]
pub struct RotateApiKey {
    /// For so long the old key still works
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 168)]
    pub overlap_hours: Option<WholeNumber>,
}

/// A filter for the list of keys.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ApiKeyFilter {
    #[param(value_type = Option<uuid::Uuid>)]
    pub service_account_id: Option<UserId>,
    pub state: Option<KeyState>,
}

/// A key with its text, which nobody can read again.
pub struct MadeKey {
    pub view: ApiKeyView,
    pub text: SecretString,
}

impl NewApiKey {
    /// What the fields cannot check one by one.
    fn check(&self, now: DateTime<Utc>) -> Result<()> {
        let wrong = |field: &str, code: &str, message: String| Err(Error::field(field, code, message));
        if self.scopes.is_empty() {
            return wrong("scopes", "unknown_scope", "name at least one scope".to_owned());
        }
        match (self.expires_in_days, self.expires_at) {
            (Some(_), Some(_)) => {
                let message = "give `expires_in_days` or `expires_at`, not both";
                return wrong("expires_at", "invalid_expiry", message.to_owned());
            }
            (Some(WholeNumber(days)), None) if !(1..=MAX_DAYS).contains(&days) => {
                return wrong("expires_in_days", "invalid_expiry", format!("it is from 1 to {MAX_DAYS}"));
            }
            (None, Some(at)) if at <= now || at > now + TimeDelta::days(MAX_DAYS) => {
                let message = format!("it is in the future, and at most {MAX_DAYS} days from now");
                return wrong("expires_at", "invalid_expiry", message);
            }
            _ => {}
        }
        if self.allowed_ips.as_ref().is_some_and(|allowed| allowed.len() > MAX_ADDRESSES) {
            return wrong("allowed_ips", "invalid_address", format!("there are at most {MAX_ADDRESSES}"));
        }
        match self.limit_per_minute {
            Some(WholeNumber(limit)) if !(1..=MAX_LIMIT_PER_MINUTE).contains(&limit) => {
                wrong("limit_per_minute", "invalid_limit", format!("it is from 1 to {MAX_LIMIT_PER_MINUTE}"))
            }
            _ => Ok(()),
        }
    }
}

/// Makes a key for an account. Its text is returned once.
pub async fn create(
    conn: &mut PgConnection,
    principal: &Principal,
    account_id: UserId,
    asked: &NewApiKey,
) -> Result<MadeKey> {
    asked.check(Utc::now())?;
    require_active(conn, account_id).await?;
    let text = NewKeyText::random(MODE)?;
    let scopes: Scopes = asked.scopes.iter().copied().collect();
    let allowed: Vec<String> = asked.allowed_ips.iter().flatten().map(|AllowedAddress(text)| text.clone()).collect();
    let WholeNumber(days) = asked.expires_in_days.unwrap_or(WholeNumber(DEFAULT_DAYS));
    let id = ApiKeyId::new();
    sqlx::query!(
        "insert into api_keys (id, user_id, name, prefix, hash, scopes, allowed_ips, limit_per_minute, created_by, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9,
                 coalesce($10, clock_timestamp() + make_interval(hours => 24 * $11)))",
        id.0,
        account_id.0,
        asked.name.as_str(),
        text.prefix,
        &text.hash[..],
        &scopes.names() as &[&str],
        &allowed,
        asked.limit_per_minute.and_then(|WholeNumber(limit)| i32::try_from(limit).ok()),
        principal.require_person()?.user_id.0,
        asked.expires_at,
        i32::try_from(days).unwrap_or_default(),
    )
    .execute(&mut *conn)
    .await?;
    let made = Action::new("api_key.created", "api_key", id);
    let data = json!({ "service_account_id": account_id, "prefix": text.prefix, "scopes": scopes.names() });
    actions::record(conn, principal, made.data(data)).await?;
    Ok(MadeKey { view: get(conn, id).await?, text: text.text })
}

/// Locks the account. A request that deactivates it waits for the new key, and then revokes that key too.
async fn require_active(conn: &mut PgConnection, account_id: UserId) -> Result<()> {
    let active =
        sqlx::query_scalar!("select active from users where id = $1 and kind = 'service' for share", account_id.0)
            .fetch_optional(conn)
            .await?;
    match active {
        None => Err(Error::NotFound(Resource::ServiceAccount)),
        Some(false) => Err(Error::ServiceAccountInactive),
        Some(true) => Ok(()),
    }
}

pub async fn get(conn: &mut PgConnection, id: ApiKeyId) -> Result<ApiKeyView> {
    let found = sqlx::query_as!(
        ApiKeyRow,
        r#"select k.id as "id: ApiKeyId", k.user_id as "user_id: UserId", k.name, k.prefix, k.scopes, k.allowed_ips,
                  k.limit_per_minute,
                  api_key_state(k.revoked_at, k.expires_at, k.replaced_by, statement_timestamp()) as "state!: KeyState",
                  k.created_by, u.name as creator, k.created_at,
                  k.expires_at, k.revoked_at, k.replaced_by as "replaced_by: ApiKeyId", k.last_used_at,
                  host(k.last_used_ip) as last_used_ip, k.version
             from api_keys k join users u on u.id = k.created_by
            where k.id = $1"#,
        id.0,
    );
    found.fetch_optional(conn).await?.map(ApiKeyView::from).ok_or(Error::NotFound(Resource::ApiKey))
}

/// The newest first.
pub async fn list(conn: &mut PgConnection, filter: &ApiKeyFilter, page: &Page) -> Result<List<ApiKeyView>> {
    let keys = sqlx::query_as!(
        ApiKeyRow,
        r#"select k.id as "id: ApiKeyId", k.user_id as "user_id: UserId", k.name, k.prefix, k.scopes, k.allowed_ips,
                  k.limit_per_minute,
                  api_key_state(k.revoked_at, k.expires_at, k.replaced_by, statement_timestamp()) as "state!: KeyState",
                  k.created_by, u.name as creator, k.created_at,
                  k.expires_at, k.revoked_at, k.replaced_by as "replaced_by: ApiKeyId", k.last_used_at,
                  host(k.last_used_ip) as last_used_ip, k.version
             from api_keys k join users u on u.id = k.created_by
            where ($1::uuid is null or k.user_id = $1)
              and ($2::text is null
                   or api_key_state(k.revoked_at, k.expires_at, k.replaced_by, statement_timestamp()) = $2)
              and ($3::uuid is null or k.id < $3)
            order by k.id desc limit $4"#,
        filter.service_account_id.map(|id| id.0),
        filter.state as Option<KeyState>,
        page.after_id(),
        page.fetch(),
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    Ok(page.list(keys.into_iter().map(ApiKeyView::from).collect(), |key| key.id.0.into()))
}

/// Makes a key like this one. The old one works until the end of the overlap, or until it expires. The caller must then
/// call `KnownKeys::forget_key` with the prefix of the old one, which is also returned.
pub async fn rotate(
    conn: &mut PgConnection,
    principal: &Principal,
    id: ApiKeyId,
    asked: &RotateApiKey,
) -> Result<(MadeKey, String)> {
    let WholeNumber(hours) = asked.overlap_hours.unwrap_or(WholeNumber(DEFAULT_OVERLAP_HOURS));
    if !(0..=MAX_OVERLAP_HOURS).contains(&hours) {
        let message = format!("it is from 0 to {MAX_OVERLAP_HOURS}");
        return Err(Error::field("overlap_hours", "invalid_overlap", message));
    }
    let old = locked(conn, id).await?;
    if old.state != KeyState::Active {
        return Err(Error::KeyNotActive { state: old.state.name().to_owned() });
    }
    let (new_id, text) = (ApiKeyId::new(), NewKeyText::random(MODE)?);
    sqlx::query!(
        "insert into api_keys (id, user_id, name, prefix, hash, scopes, allowed_ips, limit_per_minute, created_by, created_at,
                               expires_at)
         select $2, user_id, name, $3, $4, scopes, allowed_ips, limit_per_minute, $5, t.now, t.now + (expires_at - created_at)
           from api_keys, (select clock_timestamp() as now) t where id = $1",
        id.0,
        new_id.0,
        text.prefix,
        &text.hash[..],
        principal.require_person()?.user_id.0,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "update api_keys
            set replaced_by = $2, version = version + 1,
                expires_at = least(expires_at, statement_timestamp() + make_interval(hours => $3))
          where id = $1",
        id.0,
        new_id.0,
        i32::try_from(hours).unwrap_or_default(),
    )
    .execute(&mut *conn)
    .await?;
    let data = json!({ "replaced_by": new_id, "overlap_hours": hours });
    actions::record(conn, principal, Action::new("api_key.rotated", "api_key", id).data(data)).await?;
    Ok((MadeKey { view: get(conn, new_id).await?, text: text.text }, old.prefix))
}

/// Revokes a key. Repeating it changes nothing. The caller must then call `KnownKeys::forget_key` with the returned prefix.
pub async fn revoke(
    conn: &mut PgConnection,
    principal: &Principal,
    id: ApiKeyId,
    version: Option<i32>,
) -> Result<String> {
    let key = locked(conn, id).await?;
    if version.is_some_and(|version| version != key.version) {
        return Err(Error::VersionMismatch);
    }
    let revoked = sqlx::query!(
        "update api_keys set revoked_at = statement_timestamp(), version = version + 1 where id = $1 and revoked_at is null",
        id.0,
    );
    if revoked.execute(&mut *conn).await?.rows_affected() > 0 {
        let action = Action::new("api_key.revoked", "api_key", id).data(json!({ "prefix": key.prefix }));
        actions::record(conn, principal, action).await?;
    }
    Ok(key.prefix)
}

/// Revokes all keys of an account that is deactivated.
pub(super) async fn revoke_all(conn: &mut PgConnection, account_id: UserId) -> Result<()> {
    sqlx::query!(
        "update api_keys set revoked_at = statement_timestamp(), version = version + 1
          where user_id = $1 and revoked_at is null",
        account_id.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Keys that end within a week and were used in the last one: their programs will stop. A key that was replaced counts only if
/// it was used an hour after that or later.
pub async fn count_expiring_in_use(conn: &mut PgConnection) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from api_keys k left join api_keys successor on successor.id = k.replaced_by
            where k.revoked_at is null and k.expires_at > now() and k.expires_at < now() + interval '7 days'
              and k.last_used_at > now() - interval '7 days'
              and (successor.id is null or k.last_used_at > successor.created_at + interval '1 hour')"#
    )
    .fetch_one(conn)
    .await?)
}

/// Locks the account before the key, as `service_accounts::change` does.
async fn locked(conn: &mut PgConnection, id: ApiKeyId) -> Result<ApiKeyView> {
    sqlx::query!("select id from users where id = (select user_id from api_keys where id = $1) for share", id.0,)
        .fetch_optional(&mut *conn)
        .await?;
    sqlx::query!("select id from api_keys where id = $1 for no key update", id.0).fetch_optional(&mut *conn).await?;
    get(conn, id).await
}

struct ApiKeyRow {
    id: ApiKeyId,
    user_id: UserId,
    name: String,
    prefix: String,
    scopes: Vec<String>,
    allowed_ips: Vec<String>,
    limit_per_minute: Option<i32>,
    state: KeyState,
    created_by: uuid::Uuid,
    creator: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
    replaced_by: Option<ApiKeyId>,
    last_used_at: Option<DateTime<Utc>>,
    last_used_ip: Option<String>,
    version: i32,
}

impl From<ApiKeyRow> for ApiKeyView {
    fn from(row: ApiKeyRow) -> Self {
        Self {
            id: row.id,
            service_account_id: row.user_id,
            name: row.name,
            prefix: row.prefix,
            scopes: row.scopes,
            allowed_ips: row.allowed_ips,
            limit_per_minute: row.limit_per_minute,
            state: row.state,
            created_by: By { id: row.created_by, name: row.creator },
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            replaced_by: row.replaced_by,
            last_used_at: row.last_used_at,
            last_used_ip: row.last_used_ip,
            version: row.version,
        }
    }
}
