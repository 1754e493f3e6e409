//! Service accounts: what programs act as. Alone writes `service_accounts`.
//!
//! A service account is a user without a password, so that whatever names a user names it too. It never signs in; its API
//! keys do (`api_keys`).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::identity::{api_keys, invites};
use crate::page::{List, Page};
use crate::principal::Principal;
use crate::values::{Name, Note, UserId};

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d11", "name": "Warehouse robot", "description": "Counts at night",
    "active": true, "version": 1, "created_at": "2026-11-21T09:30:00Z", "updated_at": "2026-11-21T09:30:00Z"
}))]
pub struct ServiceAccountView {
    pub id: UserId,
    pub name: Name,
    pub description: String,
    pub active: bool,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "Warehouse robot", "description": "Counts at night" }))]
pub struct NewServiceAccount {
    /// Shown wherever the account does something. Names may repeat
    pub name: Name,
    pub description: Option<Note>,
}

/// A field that is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "active": false }))]
pub struct ChangeServiceAccount {
    pub name: Option<Name>,
    pub description: Option<Note>,
    /// False revokes all keys of the account for good
    pub active: Option<bool>,
}

pub async fn create(
    conn: &mut PgConnection,
    principal: &Principal,
    asked: &NewServiceAccount,
) -> Result<ServiceAccountView> {
    let id = UserId::new();
    // The domain `invalid` is reserved (RFC 2606), so the address is nobody's.
    sqlx::query!(
        "insert into users (id, kind, email, password_hash, name, role)
         values ($1, 'service', $1::uuid::text || '@service.invalid', $3, $2, 'customer')",
        id.0,
        asked.name.as_str(),
        invites::hash_of_nothing()?,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "insert into service_accounts (id, description, created_by) values ($1, $2, $3)",
        id.0,
        asked.description.as_ref().map_or("", Note::as_str),
        principal.require_person()?.user_id.0,
    )
    .execute(&mut *conn)
    .await?;
    actions::record(conn, principal, Action::new("service_account.created", "service_account", id)).await?;
    get(conn, id).await
}

pub async fn get(conn: &mut PgConnection, id: UserId) -> Result<ServiceAccountView> {
    sqlx::query_as!(
        ServiceAccountView,
        r#"select u.id as "id: UserId", u.name as "name: Name", s.description, u.active, u.version, u.created_at,
                  u.updated_at
             from service_accounts s join users u on u.id = s.id
            where s.id = $1"#,
        id.0,
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound(Resource::ServiceAccount))
}

/// The newest first.
pub async fn list(conn: &mut PgConnection, page: &Page) -> Result<List<ServiceAccountView>> {
    let accounts = sqlx::query_as!(
        ServiceAccountView,
        r#"select u.id as "id: UserId", u.name as "name: Name", s.description, u.active, u.version, u.created_at,
                  u.updated_at
             from service_accounts s join users u on u.id = s.id
            where $1::uuid is null or s.id < $1
            order by s.id desc limit $2"#,
        page.after_id(),
        page.fetch(),
    )
    .fetch_all(conn)
    .await?;
    Ok(page.list(accounts, |account| account.id.0.into()))
}

/// Changes an account. The caller must then call `KnownKeys::forget_account`.
///
/// Deactivating it revokes all its keys; making it active again brings none back.
pub async fn change(
    conn: &mut PgConnection,
    principal: &Principal,
    id: UserId,
    change: &ChangeServiceAccount,
    version: Option<i32>,
) -> Result<ServiceAccountView> {
    let before = locked(conn, id).await?;
    if version.is_some_and(|version| version != before.version) {
        return Err(Error::VersionMismatch);
    }
    let changed = change.changed_of(&before);
    if changed.is_empty() {
        return Ok(before);
    }
    sqlx::query!(
        "update users
            set name = coalesce($2, name), active = coalesce($3, active), version = version + 1,
                updated_at = statement_timestamp()
          where id = $1",
        id.0,
        change.name.as_ref().map(Name::as_str),
        change.active,
    )
    .execute(&mut *conn)
    .await?;
    if let Some(description) = &change.description {
        sqlx::query!("update service_accounts set description = $2 where id = $1", id.0, description.as_str())
            .execute(&mut *conn)
            .await?;
    }
    if change.active == Some(false) {
        api_keys::revoke_all(conn, id).await?;
    }
    let action = Action::changed("service_account.changed", "service_account", id, &changed);
    actions::record(conn, principal, action).await?;
    get(conn, id).await
}

impl ChangeServiceAccount {
    fn changed_of(&self, before: &ServiceAccountView) -> Vec<String> {
        let name = self.name.as_ref().is_some_and(|name| *name != before.name);
        let description = self.description.as_ref().is_some_and(|it| it.as_str() != before.description);
        let active = self.active.is_some_and(|active| active != before.active);
        let fields = [("name", name), ("description", description), ("active", active)];
        fields.into_iter().filter(|(_, changed)| *changed).map(|(field, _)| field.to_owned()).collect()
    }
}

/// The account, locked until the end of the transaction: a key that is made meanwhile waits (`api_keys::create`).
async fn locked(conn: &mut PgConnection, id: UserId) -> Result<ServiceAccountView> {
    sqlx::query!("select id from users where id = $1 and kind = 'service' for no key update", id.0)
        .fetch_optional(&mut *conn)
        .await?;
    get(conn, id).await
}
