//! Sessions: a login begins one, refresh tokens prolong it (each can be used once), and ending it ends all its tokens.
//!
//! A refresh token is 32 random bytes; the database has only its hash. The row of a spent token also holds its
//! successor, encrypted with the spent token itself. So a client that lost the answer to a refresh and asks again gets
//! the same successor, and a reader of the database learns no token.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;

use crate::actions::{self, Action};
use crate::error::{Error, Result};
use crate::identity::authenticate::Identity;
use crate::identity::passwords;
use crate::identity::tokens::Session;
use crate::principal::{By, Principal, Role, Source};
use crate::values::{Email, Name, NewPassword, SessionId, UserId};

/// For so long after a refresh the same client may repeat it, because the answer may have been lost. After that, a
/// repetition counts as theft.
const LOST_ANSWER_SECONDS: f64 = 10.0;

/// Credentials. Whatever is wrong with them, the answer is the same.
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
    /// The last refresh token that was issued; it can be used once
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

/// What a client needs to act as a user.
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
    /// Seconds for which the access token is valid
    #[schema(example = 900)]
    pub expires_in: i64,
}

/// The outcome of a refresh. The caller must commit in every case: `Stolen` has changed something too.
pub enum Refreshed {
    Tokens(Tokens),
    /// Not a token, or an expired one, or one of a session that has ended.
    Refused,
    /// A spent token was used again, so its session has ended. The caller must call `Identity::forget_session`.
    Stolen(SessionId),
}

/// A hash of the client's address and user agent: how we recognise a client that repeats a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client([u8; 32]);

impl Client {
    pub fn new(address: Option<IpAddr>, user_agent: &[u8]) -> Self {
        let address = address.map_or_else(String::new, |address| address.to_string());
        Self(digest(&[address.as_bytes(), b"\0", user_agent]))
    }
}

impl Identity {
    /// Checks a password and begins a session. Records the sign-in, or that it failed.
    ///
    /// Takes the pool, because no connection may be held while a password is hashed.
    pub async fn log_in(&self, db: &PgPool, login: LogIn, source: &Source) -> Result<Tokens> {
        let account = self.check_password(db, login, source).await?;
        self.begin_session(db, &account, source).await
    }

    /// The account, if the password is right and it is active. Records that it failed otherwise.
    pub(super) async fn check_password(&self, db: &PgPool, login: LogIn, source: &Source) -> Result<Account> {
        // A text that is no address has no account, but the answer must take as long as for one that has.
        let account = match login.email.parse::<Email>() {
            Ok(email) => find_account(db, &email).await?,
            Err(_) => None,
        };
        let hash = account.as_ref().map(|account| account.password_hash.clone());
        let verified = passwords::verify(login.password, hash).await?;
        match account {
            Some(account) if verified && account.active => Ok(account),
            account => {
                // The address that was typed is not recorded: people type passwords there.
                let id = account.map_or_else(|| "unknown".to_owned(), |account| account.id.to_string());
                let failed = Action::new("auth.sign_in_failed", "user", id);
                actions::record_by(&mut *db.acquire().await?, None, source, failed).await?;
                Err(Error::InvalidCredentials)
            }
        }
    }

    /// One statement that checks the account again: since we read it, it may have been deactivated or have got another
    /// password.
    async fn begin_session(&self, db: &PgPool, account: &Account, source: &Source) -> Result<Tokens> {
        let mut tx = db.begin().await?;
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
            account.id.0,
            account.password_hash,
            self.session_max_age.as_secs_f64(),
            &token.hash()[..],
            self.refresh_token_ttl.as_secs_f64(),
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Error::InvalidCredentials)?;
        let by = By { id: account.id.0, name: account.name.as_str().to_owned() };
        let signed_in = Action::new("auth.signed_in", "user", account.id).data(json!({ "session_id": session.id }));
        actions::record_by(&mut tx, Some(&by), source, signed_in).await?;
        tx.commit().await?;
        self.tokens(account.id, session.id, session.expires_at, &token)
    }

    /// Exchanges a refresh token for the next pair of tokens.
    pub async fn refresh(
        &self,
        conn: &mut PgConnection,
        asked: &Refresh,
        client: &Client,
        source: &Source,
    ) -> Result<Refreshed> {
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
            None => self.refresh_again(conn, &token, client, source).await,
        }
    }

    /// The token cannot be exchanged. If it was exchanged before, either that answer was lost or the token was stolen.
    async fn refresh_again(
        &self,
        conn: &mut PgConnection,
        token: &RefreshToken,
        client: &Client,
        source: &Source,
    ) -> Result<Refreshed> {
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
        // Nobody knows whether the user or the thief sent it, so there is no actor.
        let reused = Action::new("auth.refresh_token_reused", "user", spent.user_id);
        actions::record_by(conn, None, source, reused.data(json!({ "session_id": spent.id }))).await?;
        tracing::warn!(user_id = %spent.user_id, session_id = %spent.id, "a refresh token was used twice, so its session has ended");
        Ok(Refreshed::Stolen(spent.id))
    }

    /// Changes the caller's own password and ends their other sessions.
    ///
    /// Takes the pool, because no connection may be held while a password is hashed.
    pub async fn change_password(&self, db: &PgPool, principal: &Principal, change: ChangePassword) -> Result<()> {
        let person = principal.require_person()?;
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
            return Err(Error::InvalidCredentials); // It was changed meanwhile.
        }
        end_all(&mut tx, person.user_id, Some(person.session_id)).await?;
        let changed = Action::new("auth.password_changed", "user", person.user_id);
        actions::record(&mut tx, principal, changed).await?;
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

/// Did this end it, or had it ended before?
async fn end(conn: &mut PgConnection, id: SessionId) -> Result<bool> {
    let ended =
        sqlx::query!("update sessions set ended_at = clock_timestamp() where id = $1 and ended_at is null", id.0)
            .execute(conn)
            .await?;
    Ok(ended.rows_affected() > 0)
}

/// Who signs in.
pub(super) struct Account {
    pub id: UserId,
    pub name: Name,
    pub role: Role,
    pub password_hash: String,
    active: bool,
}

async fn find_account(db: &PgPool, email: &Email) -> Result<Option<Account>> {
    Ok(sqlx::query_as!(
        Account,
        "select id as \"id: UserId\", name as \"name: Name\", role as \"role: Role\", password_hash, active
           from users where lower(email) = lower($1)",
        email.as_str(),
    )
    .fetch_optional(db)
    .await?)
}

/// Ends all sessions of a user except one.
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

    /// Encrypts the next token with this one. The pad is used once, because a token is spent once.
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
