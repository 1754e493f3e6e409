//! Sessions: listing them, ending them, and how long ago their user gave the password. Ending one ends all its tokens.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;

use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::identity::authenticate::Identity;
use crate::page::{List, Page};
use crate::principal::{Actor, Principal};
use crate::values::{SessionId, UserId};

/// What gives away power, or takes it from others, needs a password that was given at most this long ago.
const PASSWORD_FRESH_SECONDS: f64 = 300.0;

/// Which part of Millrace a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Surface {
    Api,
    Console,
    Shop,
}

impl Surface {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Console => "console",
            Self::Shop => "shop",
        }
    }
}

/// A place where a user is signed in.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d02", "surface": "api", "address": "203.0.113.7", "user_agent": "curl/8.5.0",
    "current": true, "created_at": "2026-11-21T09:30:00Z", "last_seen_at": "2026-11-21T09:41:00Z",
    "expires_at": "2026-12-21T09:30:00Z"
}))]
pub struct SessionView {
    pub id: SessionId,
    pub surface: Surface,
    /// Where the last sign-in or refresh came from
    pub address: Option<String>,
    pub user_agent: Option<String>,
    /// Is it the session that asks?
    pub current: bool,
    pub created_at: DateTime<Utc>,
    /// The last request, to the minute
    pub last_seen_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

impl Identity {
    /// The caller's own sessions that are live, oldest first.
    pub async fn list_sessions(&self, db: &PgPool, principal: &Principal, page: &Page) -> Result<List<SessionView>> {
        let person = principal.require_person()?;
        let sessions = sqlx::query_as!(
            SessionView,
            "select s.id as \"id: SessionId\", s.surface as \"surface: Surface\", host(s.address) as address, s.user_agent,
                    s.id = $2 as \"current!\", s.created_at, s.last_seen_at, s.expires_at
               from sessions s join users u on u.id = s.user_id
              where s.user_id = $1
                and session_is_live(s.ended_at, s.expires_at, s.created_at, s.last_seen_at, u.role, $3, $4,
                                    statement_timestamp()) and ($5::uuid is null or s.id > $5)
              order by s.id limit $6",
            person.user_id.0,
            person.session_id.0,
            self.staff_session_max_age.as_secs_f64(),
            self.staff_idle.as_secs_f64(),
            page.after_id(),
            page.fetch(),
        )
        .fetch_all(db)
        .await?;
        Ok(page.list(sessions, |session| session.id.0.into()))
    }
}

/// Ends the caller's session with all its tokens. Repeating it changes nothing. The caller must then call
/// `Identity::forget_session`.
pub async fn log_out(conn: &mut PgConnection, principal: &Principal) -> Result<SessionId> {
    let person = principal.require_person()?;
    if end(conn, person.session_id).await? {
        let signed_out = Action::new("auth.signed_out", "user", person.user_id);
        actions::record(conn, principal, signed_out.data(json!({ "session_id": person.session_id }))).await?;
    }
    Ok(person.session_id)
}

/// Ends one of the caller's own sessions. The caller must then call `Identity::forget_session`.
pub async fn end_own(conn: &mut PgConnection, principal: &Principal, id: SessionId) -> Result<()> {
    let person = principal.require_person()?;
    let ended = sqlx::query!(
        "update sessions set ended_at = statement_timestamp() where id = $1 and user_id = $2 and ended_at is null",
        id.0,
        person.user_id.0,
    )
    .execute(&mut *conn)
    .await?;
    if ended.rows_affected() == 0 {
        return Err(Error::NotFound(Resource::Session));
    }
    let ended = Action::new("auth.session_ended", "user", person.user_id).data(json!({ "session_id": id }));
    actions::record(conn, principal, ended).await
}

/// Ends all sessions of a user. The caller must then call `Identity::forget_user`.
pub async fn end_those_of(conn: &mut PgConnection, principal: &Principal, user_id: UserId) -> Result<()> {
    require_fresh_password(conn, principal).await?;
    let exists = sqlx::query_scalar!(
        "select exists (select from users where id = $1 and kind = 'person') as \"exists!\"",
        user_id.0
    )
    .fetch_one(&mut *conn)
    .await?;
    if !exists {
        return Err(Error::NotFound(Resource::User));
    }
    let ended = end_all(conn, user_id, None).await?;
    let ended = Action::new("user.sessions_ended", "user", user_id).data(json!({ "sessions": ended }));
    actions::record(conn, principal, ended).await
}

/// Refuses a person who has not given their password lately, so that a stolen token alone cannot do this.
pub(super) async fn require_fresh_password(conn: &mut PgConnection, principal: &Principal) -> Result<()> {
    let Actor::Person(person) = &principal.actor else { return Ok(()) };
    let fresh = sqlx::query_scalar!(
        "select coalesce(password_at, created_at) > clock_timestamp() - make_interval(secs => $2) as \"fresh!\"
           from sessions where id = $1",
        person.session_id.0,
        PASSWORD_FRESH_SECONDS,
    )
    .fetch_optional(conn)
    .await?;
    if fresh == Some(true) { Ok(()) } else { Err(Error::PasswordRequired) }
}

/// Records that the user of this session has given the right password just now.
pub(super) async fn password_given(conn: &mut PgConnection, id: SessionId) -> Result<()> {
    sqlx::query!("update sessions set password_at = statement_timestamp() where id = $1", id.0).execute(conn).await?;
    Ok(())
}

/// Did this end it, or had it ended before?
pub(super) async fn end(conn: &mut PgConnection, id: SessionId) -> Result<bool> {
    let ended =
        sqlx::query!("update sessions set ended_at = statement_timestamp() where id = $1 and ended_at is null", id.0)
            .execute(conn)
            .await?;
    Ok(ended.rows_affected() > 0)
}

/// Ends all sessions of a user except one. Returns how many.
pub(super) async fn end_all(conn: &mut PgConnection, user_id: UserId, but: Option<SessionId>) -> Result<u64> {
    let ended = sqlx::query!(
        "update sessions set ended_at = statement_timestamp()
          where user_id = $1 and ended_at is null and id is distinct from $2",
        user_id.0,
        but.map(|id| id.0),
    )
    .execute(conn)
    .await?;
    Ok(ended.rows_affected())
}

/// Deletes expired sessions with their tokens, and returns how many. For the retention job.
pub async fn remove_expired(conn: &mut PgConnection, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "delete from sessions where id in (
             select id from sessions where expires_at < now() order by expires_at limit $1
                for update skip locked)",
        limit,
    )
    .execute(conn)
    .await?;
    Ok(removed.rows_affected())
}
