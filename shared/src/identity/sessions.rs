//! Sessions: begun by a login, prolonged by refresh tokens that are each good once, ended as a whole.
//!
//! A refresh token is 32 random bytes, of which only a hash is kept. The token that follows it is kept in
//! the spent one's row, sealed with the spent one itself: whoever lost the answer to a refresh and asks
//! again gets the same successor, and whoever reads the database gets nothing.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;

use crate::error::{Error, Result};
use crate::identity::principal::Person;
use crate::identity::tokens::Session;
use crate::identity::{Identity, passwords};
use crate::values::{Email, NewPassword, SessionId, UserId};

/// How long the answer to a refresh may have been lost before asking again looks like a theft.
const LOST_ANSWER_SECONDS: f64 = 10.0;

/// What somebody says who wants in. Whatever is wrong with it, the answer is the same.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogIn {
    #[schema(example = "alice@example.com")]
    pub email: String,
    #[schema(value_type = String, format = "password", example = "correct horse battery")]
    pub password: SecretString,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The last refresh token that was given; it is good once
    #[schema(value_type = String)]
    pub refresh_token: SecretString,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    #[schema(value_type = String, format = "password")]
    pub current_password: SecretString,
    pub new_password: NewPassword,
}

/// What a client needs to be somebody.
#[derive(Serialize, ToSchema)]
pub struct Tokens {
    /// Sent with each request: `Authorization: Bearer …`
    #[schema(example = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSJ9.eyJzdWIiOiIwMTlhIn0.c2lnbmF0dXJl")]
    pub access_token: String,
    /// Exchanged for the next pair when the access token has expired
    #[schema(example = "3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    pub refresh_token: String,
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Seconds for which the access token is good
    #[schema(example = 900)]
    pub expires_in: i64,
}

/// What came of a refresh. Whatever it is, it is to be committed.
pub enum Refreshed {
    Tokens(Tokens),
    /// Not a token, or an expired one, or one of a session that has ended.
    Refused,
    /// A spent token came again: the session is ended, and to be forgotten (`Identity::forget_session`).
    Stolen(SessionId),
}

/// Which program on which machine asks, as far as we can tell; kept as a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client([u8; 32]);

impl Client {
    pub fn new(address: IpAddr, user_agent: &[u8]) -> Self {
        Self(digest(&[address.to_string().as_bytes(), b"\0", user_agent]))
    }
}

impl Identity {
    /// Checks a password and begins a session.
    ///
    /// Takes the pool, because no connection may be held while a password is hashed.
    pub async fn log_in(&self, db: &PgPool, login: LogIn) -> Result<Tokens> {
        // What cannot be an address is not in the database, but must take as long as one that is not.
        let user = match login.email.parse::<Email>() {
            Ok(email) => {
                sqlx::query!(
                    "select id as \"id: UserId\", password_hash, active from users where lower(email) = lower($1)",
                    email.as_str(),
                )
                .fetch_optional(db)
                .await?
            }
            Err(_) => None,
        };
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let verified = passwords::verify(login.password, hash).await?;
        let user = user.filter(|user| verified && user.active).ok_or(Error::InvalidCredentials)?;
        self.begin_session(&mut *db.acquire().await?, user.id, &user.password_hash).await
    }

    /// One statement, and it looks again: meanwhile the user may have been deactivated or have changed the password.
    async fn begin_session(&self, conn: &mut PgConnection, user_id: UserId, password_hash: &str) -> Result<Tokens> {
        let token = RefreshToken::random()?;
        let session = sqlx::query!(
            "with begun as (
                 insert into sessions (user_id, expires_at)
                 select id, clock_timestamp() + make_interval(secs => $3) from users
                  where id = $1 and password_hash = $2 and active
                    for share
                 returning id, expires_at
             ), kept as (
                 insert into refresh_tokens (hash, session_id, expires_at)
                 select $4, id, least(expires_at, clock_timestamp() + make_interval(secs => $5)) from begun
             )
             select id as \"id: SessionId\", expires_at from begun",
            user_id.0,
            password_hash,
            self.session_max_age.as_secs_f64(),
            &token.hash()[..],
            self.refresh_token_ttl.as_secs_f64(),
        )
        .fetch_optional(conn)
        .await?
        .ok_or(Error::InvalidCredentials)?;
        self.tokens(user_id, session.id, session.expires_at, &token)
    }

    /// Spends a refresh token for the next pair.
    pub async fn refresh(&self, conn: &mut PgConnection, asked: &Refresh, client: &Client) -> Result<Refreshed> {
        let Some(token) = RefreshToken::parse(asked.refresh_token.expose_secret()) else {
            return Ok(Refreshed::Refused);
        };
        let next = RefreshToken::random()?;
        let spent = sqlx::query!(
            "with spent as (
                 update refresh_tokens t
                    set spent_at = clock_timestamp(), spent_by = $2, successor_sealed = $3
                   from sessions s join users u on u.id = s.user_id
                  where t.hash = $1 and t.spent_at is null and t.expires_at > clock_timestamp()
                    and s.id = t.session_id and s.ended_at is null and s.expires_at > clock_timestamp() and u.active
                 returning s.id, s.user_id, s.expires_at
             ), kept as (
                 insert into refresh_tokens (hash, session_id, expires_at)
                 select $4, id, least(expires_at, clock_timestamp() + make_interval(secs => $5)) from spent
             )
             select id as \"id: SessionId\", user_id as \"user_id: UserId\", expires_at from spent",
            &token.hash()[..],
            &client.0[..],
            &token.seal(&next)[..],
            &next.hash()[..],
            self.refresh_token_ttl.as_secs_f64(),
        )
        .fetch_optional(&mut *conn)
        .await?;
        match spent {
            Some(session) => self.tokens(session.user_id, session.id, session.expires_at, &next).map(Refreshed::Tokens),
            None => self.refresh_again(conn, &token, client).await,
        }
    }

    /// The token was not good for a refresh. If it is a spent one, either its answer was lost or it was stolen.
    async fn refresh_again(&self, conn: &mut PgConnection, token: &RefreshToken, client: &Client) -> Result<Refreshed> {
        let spent = sqlx::query!(
            "select s.id as \"id: SessionId\", s.user_id as \"user_id: UserId\", s.expires_at,
                    t.successor_sealed as \"successor_sealed!\",
                    t.spent_by = $2 and t.spent_at > clock_timestamp() - make_interval(secs => $3) as \"lost!\"
               from refresh_tokens t join sessions s on s.id = t.session_id join users u on u.id = s.user_id
              where t.hash = $1 and t.spent_at is not null
                and s.ended_at is null and s.expires_at > clock_timestamp() and u.active",
            &token.hash()[..],
            &client.0[..],
            LOST_ANSWER_SECONDS,
        )
        .fetch_optional(&mut *conn)
        .await?;
        let Some(spent) = spent else { return Ok(Refreshed::Refused) };
        if spent.lost {
            let next = token.unseal(&spent.successor_sealed)?;
            return self.tokens(spent.user_id, spent.id, spent.expires_at, &next).map(Refreshed::Tokens);
        }
        end(conn, spent.id).await?;
        tracing::warn!(user_id = %spent.user_id, session_id = %spent.id, "a spent refresh token came again: its session is ended");
        Ok(Refreshed::Stolen(spent.id))
    }

    /// Changes the caller's own password and ends their other sessions.
    ///
    /// Takes the pool, because no connection may be held while a password is hashed.
    pub async fn change_password(&self, db: &PgPool, person: &Person, change: ChangePassword) -> Result<()> {
        let stored = sqlx::query_scalar!("select password_hash from users where id = $1 and active", person.user_id.0)
            .fetch_optional(db)
            .await?
            .ok_or(Error::Unauthenticated)?;
        if !passwords::verify(change.current_password, Some(stored.clone())).await? {
            return Err(Error::InvalidCredentials);
        }
        let hash = passwords::hash(change.new_password).await?;
        let mut tx = db.begin().await?;
        let changed = sqlx::query!(
            "update users set password_hash = $3, updated_at = clock_timestamp()
              where id = $1 and password_hash = $2 and active",
            person.user_id.0,
            stored,
            hash,
        )
        .execute(&mut *tx)
        .await?;
        if changed.rows_affected() == 0 {
            return Err(Error::InvalidCredentials); // Somebody else changed it meanwhile.
        }
        end_all(&mut tx, person.user_id, Some(person.session_id)).await?;
        tx.commit().await?;
        self.forget_user(person.user_id);
        Ok(())
    }

    fn tokens(
        &self,
        user_id: UserId,
        session_id: SessionId,
        session_ends_at: DateTime<Utc>,
        refresh_token: &RefreshToken,
    ) -> Result<Tokens> {
        let now = Utc::now();
        let expires_at = expiry(now, self.access_token_ttl, session_ends_at);
        let access_token = self.keys.sign(&Session { user_id, session_id, expires_at }, now)?;
        let refresh_token = refresh_token.written();
        let expires_in = (expires_at - now).num_seconds();
        Ok(Tokens { access_token, refresh_token, token_type: "Bearer", expires_in })
    }
}

/// A token tells its end in whole seconds. Rounded up: no token is good for less than was promised.
fn expiry(now: DateTime<Utc>, ttl: Duration, session_ends_at: DateTime<Utc>) -> DateTime<Utc> {
    let end = chrono::TimeDelta::from_std(ttl).ok().and_then(|ttl| now.checked_add_signed(ttl));
    let end = end.map_or(session_ends_at, |end| end.min(session_ends_at));
    let whole = end.timestamp() + i64::from(end.timestamp_subsec_nanos() > 0);
    DateTime::from_timestamp(whole, 0).unwrap_or(end)
}

/// Ends a session with all its tokens. Repeating it changes nothing.
pub async fn end(conn: &mut PgConnection, id: SessionId) -> Result<()> {
    sqlx::query!("update sessions set ended_at = clock_timestamp() where id = $1 and ended_at is null", id.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// Ends a user's sessions, but for the one that is to stay.
pub(super) async fn end_all(conn: &mut PgConnection, user_id: UserId, but: Option<SessionId>) -> Result<()> {
    sqlx::query!(
        "update sessions set ended_at = clock_timestamp()
          where user_id = $1 and ended_at is null and id is distinct from $2",
        user_id.0,
        but.map(|id| id.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes sessions that nobody can use any more, with their tokens; says how many. For the housekeeping.
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

struct RefreshToken([u8; 32]);

impl RefreshToken {
    fn random() -> Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(Error::internal)?;
        Ok(Self(bytes))
    }

    fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    fn written(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    fn hash(&self) -> [u8; 32] {
        digest(&[&self.0])
    }

    /// The next token, readable only with this one. The pad is used once: a token is spent once.
    fn seal(&self, next: &Self) -> [u8; 32] {
        let pad = digest(&[b"successor", &self.0]);
        std::array::from_fn(|i| next.0[i] ^ pad[i])
    }

    fn unseal(&self, sealed: &[u8]) -> Result<Self> {
        let sealed = sealed.try_into().map_err(Error::internal)?;
        Ok(Self(self.seal(&Self(sealed))))
    }
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
