//! Accounts: registering, making, listing and changing users.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::{PgConnection, PgPool};
use utoipa::{IntoParams, ToSchema};

use super::passwords::{self, Asker};
use super::sessions;
use crate::actions::{self, Action};
use crate::customers;
use crate::error::{Error, Resource, Result};
use crate::page::{List, Page};
use crate::platform::db::{CustomPlan, broken_constraint};
use crate::principal::{By, Principal, Role, Source};
use crate::values::password::NewPassword;
use crate::values::search::Search;
use crate::values::{Email, Name, UserId};

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d01", "email": "alice@example.com", "name": "Alice", "role": "customer",
    "active": true, "created_at": "2026-11-21T09:30:00Z"
}))]
pub struct UserView {
    pub id: UserId,
    pub email: Email,
    pub name: Name,
    pub role: Role,
    pub active: bool,
    pub created_at: DateTime<Utc>,
    #[serde(skip)]
    pub version: i32,
}

impl UserView {
    fn by(&self) -> By {
        By { id: self.id.0, name: self.name.as_str().to_owned() }
    }
}

/// A request for an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    pub email: Email,
    pub password: NewPassword,
    pub name: Name,
}

impl Register {
    /// What the fields cannot check one by one. Call it before `register`.
    pub fn check(&self) -> Result<()> {
        refuse_own(&self.password, &self.email, &self.name)
    }
}

fn refuse_own(password: &NewPassword, email: &Email, name: &Name) -> Result<()> {
    password.refuse_own(email, name).map_err(|why| Error::InvalidFields(vec![why.at("password")]))
}

/// What an administrator may change of a user. A field that is left out stays as it is.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeUser {
    pub role: Option<Role>,
    /// False ends the user's sessions
    pub active: Option<bool>,
}

/// A filter for the list of users.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Users {
    /// Exactly this address, in whatever case
    pub email: Option<Email>,
    /// Part of the name (three characters or more), or the beginning of the e-mail address
    #[param(value_type = Option<String>, max_length = 100, pattern = r"^[^\u0000]*$")]
    pub q: Option<Search>,
    pub role: Option<Role>,
    /// Whether they may sign in
    pub active: Option<bool>,
}

/// Makes an account for somebody who registers. They are recorded as the actor.
///
/// Takes the pool, because no connection may be held while a password is hashed.
pub async fn register(db: &PgPool, asked: Register, source: &Source) -> Result<UserView> {
    let hash = passwords::hash(asked.password, Asker::Stranger).await?;
    let mut tx = db.begin().await?;
    let user = insert(&mut tx, &asked.email, &hash, &asked.name, Role::Customer).await?;
    actions::record_by(&mut tx, Some(&user.by()), source, Action::new("user.registered", "user", user.id)).await?;
    tx.commit().await?;
    tracing::info!(user_id = %user.id, "the user {} registered", user.id);
    Ok(user)
}

/// Makes an account with any role, from the command line.
///
/// Takes the pool, because no connection may be held while a password is hashed.
pub async fn create_user(db: &PgPool, email: Email, password: NewPassword, name: Name, role: Role) -> Result<UserView> {
    refuse_own(&password, &email, &name)?;
    let hash = passwords::hash(password, Asker::SignedIn).await?;
    let mut tx = db.begin().await?;
    let user = insert(&mut tx, &email, &hash, &name, role).await?;
    let created = Action::new("user.created", "user", user.id).data(json!({ "role": role }));
    actions::record(&mut tx, &Principal::system(), created).await?;
    tx.commit().await?;
    tracing::info!(user_id = %user.id, ?role, "created the user {}", user.id);
    Ok(user)
}

/// The account, and the customer that it orders as.
pub(super) async fn insert(
    conn: &mut PgConnection,
    email: &Email,
    hash: &str,
    name: &Name,
    role: Role,
) -> Result<UserView> {
    let inserted = sqlx::query_as!(
        UserView,
        "insert into users (email, password_hash, name, role) values ($1, $2, $3, $4)
         returning id as \"id: UserId\", email as \"email: Email\", name as \"name: Name\", role as \"role: Role\",
                   active, created_at, version",
        email.as_str(),
        hash,
        name.as_str(),
        role as Role,
    )
    .fetch_one(&mut *conn)
    .await;
    let user = inserted.map_err(|error| match broken_constraint(&error) {
        Some("users_email_key" | "users_email_key_unique") => Error::EmailTaken,
        _ => error.into(),
    })?;
    customers::create_own(conn, user.id, email, name).await?;
    Ok(user)
}

pub async fn get_user(conn: &mut PgConnection, id: UserId) -> Result<UserView> {
    sqlx::query_as!(
        UserView,
        "select id as \"id: UserId\", email as \"email: Email\", name as \"name: Name\", role as \"role: Role\",
                active, created_at, version
           from users where id = $1 and kind = 'person'",
        id.0,
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound(Resource::User))
}

/// What these users are called.
pub async fn names(conn: &mut PgConnection, ids: &[UserId]) -> Result<HashMap<UserId, String>> {
    let rows = sqlx::query!(r#"select id as "id: UserId", name from users where id = any($1)"#, ids as &[UserId],);
    Ok(rows.fetch_all(conn).await?.into_iter().map(|row| (row.id, row.name)).collect())
}

/// The account with this address.
pub async fn id_of_email(conn: &mut PgConnection, email: &Email) -> Result<Option<UserId>> {
    let id = sqlx::query_scalar!(
        r#"select id as "id: UserId" from users where email_key = $1 and kind = 'person'"#,
        email.key()
    );
    Ok(id.fetch_optional(conn).await?)
}

/// The oldest first.
pub async fn list_users(conn: &mut PgConnection, filter: &Users, page: &Page) -> Result<List<UserView>> {
    let users = sqlx::query_as!(
        UserView,
        "select id as \"id: UserId\", email as \"email: Email\", name as \"name: Name\", role as \"role: Role\",
                active, created_at, version
           from users
          where kind = 'person' and ($1::text is null or email_key = $1) and ($2::uuid is null or id > $2)
            and ($4::text is null or email_key like $4 or lower(name) like $5)
            and ($6::text is null or role = $6) and ($7::bool is null or active = $7)
          order by id limit $3",
        filter.email.as_ref().map(Email::key),
        page.after_id(),
        page.fetch(),
        filter.q.as_ref().map(Search::begins),
        filter.q.as_ref().and_then(Search::contains),
        filter.role as Option<Role>,
        filter.active,
    )
    .fetch_all(CustomPlan(conn))
    .await?;
    Ok(page.list(users, |user| user.id.0.into()))
}

/// Changes a user's role, or deactivates them. The caller must then call `Identity::forget_user`.
///
/// Needs a password that was given in the last five minutes. Refuses to demote or deactivate the last active administrator: nobody could make another.
pub async fn change_user(
    conn: &mut PgConnection,
    principal: &Principal,
    id: UserId,
    change: ChangeUser,
    version: Option<i32>,
) -> Result<UserView> {
    sessions::require_fresh_password(conn, principal).await?;
    // The lock makes two administrators who demote each other take turns.
    sqlx::query!("select id from users where role = 'admin' and active order by id for no key update")
        .fetch_all(&mut *conn)
        .await?;
    let (user, changed) = update(conn, id, change, version).await?;
    let admins_left: bool =
        sqlx::query_scalar!("select exists (select from users where role = 'admin' and active) as \"exists!\"")
            .fetch_one(&mut *conn)
            .await?;
    if !admins_left {
        return Err(Error::LastAdmin);
    }
    if !user.active {
        sessions::end_all(conn, id, None).await?;
    }
    if !changed.is_empty() {
        let action = Action::new("user.changed", "user", id).data(changed.into());
        actions::record(conn, principal, action).await?;
    }
    Ok(user)
}

/// The user as it is now, and each field that changed: `{"role": {"from": …, "to": …}}`.
async fn update(
    conn: &mut PgConnection,
    id: UserId,
    change: ChangeUser,
    version: Option<i32>,
) -> Result<(UserView, Map<String, Value>)> {
    let updated = sqlx::query!(
        "update users u
            set role = coalesce($3, u.role), active = coalesce($4, u.active),
                version = u.version + 1, updated_at = statement_timestamp()
           from (select id, role, active from users where id = $1 and kind = 'person' for no key update) old
          where u.id = old.id and ($2::int is null or u.version = $2)
         returning u.id as \"id: UserId\", u.email as \"email: Email\", u.name as \"name: Name\", u.role as \"role: Role\",
                   u.active, u.created_at, u.version, old.role as \"old_role!: Role\", old.active as \"old_active!\"",
        id.0,
        version,
        change.role as Option<Role>,
        change.active,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = updated else { return get_user(conn, id).await.and(Err(Error::VersionMismatch)) };
    let mut changed = Map::new();
    if row.old_role != row.role {
        changed.insert("role".to_owned(), json!({ "from": row.old_role, "to": row.role }));
    }
    if row.old_active != row.active {
        changed.insert("active".to_owned(), json!({ "from": row.old_active, "to": row.active }));
    }
    let user = UserView {
        id: row.id,
        email: row.email,
        name: row.name,
        role: row.role,
        active: row.active,
        created_at: row.created_at,
        version: row.version,
    };
    Ok((user, changed))
}
