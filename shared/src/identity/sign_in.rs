//! Signing in and staying signed in: a login begins a session, refresh tokens prolong it, each works once.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;

use crate::actions::{self, Action};
use crate::error::{Error, Result};
use crate::identity::authenticate::Identity;
use crate::identity::metrics::SignInOutcome;
use crate::identity::passwords::{self, Asker};
use crate::identity::refresh_tokens::{RefreshToken, digest};
use crate::identity::sessions::{self, Surface};
use crate::identity::tokens::Session;
use crate::identity::{known_networks, second_factor};
use crate::platform::networks::Network;
use crate::principal::{By, Role, Source};
use crate::values::{Email, Name, SessionId, UserId};

/// For so long after a refresh the same client may repeat it, because the answer may have been lost. After that, a
/// repetition counts as theft.
const LOST_ANSWER_SECONDS: f64 = 10.0;

/// Credentials. Whatever is wrong with address and password, the answer is the same.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogIn {
    #[schema(example = "alice@example.com", pattern = r"^[^\u0000]*$")]
    pub email: String,
    #[schema(value_type = String, format = "password", example = "correct horse battery", pattern = r"^[^\u0000]*$")]
    pub password: SecretString,
    /// A code of the second factor, or a recovery code, if the user has switched it on
    #[schema(value_type = Option<String>, example = "492039", pattern = r"^[^\u0000]*$")]
    pub code: Option<SecretString>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The last refresh token that was issued; it can be used once
    #[schema(value_type = String, pattern = r"^[^\u0000]*$")]
    pub refresh_token: SecretString,
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

/// What is signed in: shown in the list of sessions, and compared when a client repeats a refresh.
#[derive(Debug, Clone)]
pub struct Client {
    pub surface: Surface,
    pub address: Option<IpAddr>,
    pub user_agent: Option<String>,
}

impl Client {
    /// The database keeps this many characters of a user agent.
    const USER_AGENT: usize = 300;

    pub fn new(surface: Surface, address: Option<IpAddr>, user_agent: Option<&[u8]>) -> Self {
        let user_agent = user_agent.map(|text| String::from_utf8_lossy(text).chars().take(Self::USER_AGENT).collect());
        Self { surface, address, user_agent }
    }

    fn fingerprint(&self) -> [u8; 32] {
        let network = self.address.map_or_else(String::new, |address| Network::of(address).to_string());
        let user_agent = self.user_agent.as_deref().unwrap_or_default();
        digest(&[network.as_bytes(), b"\0", user_agent.as_bytes()])
    }

    fn written_address(&self) -> Option<String> {
        self.address.map(|address| address.to_string())
    }
}

impl Identity {
    /// Checks a password, and the second factor if there is one, and begins a session. Records the sign-in, or that it
    /// failed.
    ///
    /// Takes the pool, because no connection may be held while a password is hashed.
    pub async fn log_in(&self, db: &PgPool, login: LogIn, client: &Client, source: &Source) -> Result<Tokens> {
        let token = RefreshToken::random()?;
        let credential = Credential::RefreshToken(token.hash());
        let begun = self.check_and_begin(db, login, client, source, &credential).await?;
        self.tokens(begun.user_id, begun.session_id, begun.expires_at, &token)
    }

    /// The same for every kind of session.
    pub(super) async fn check_and_begin(
        &self,
        db: &PgPool,
        login: LogIn,
        client: &Client,
        source: &Source,
        credential: &Credential,
    ) -> Result<BegunSession> {
        // A text that is no address has no account, but the answer must take as long as for one that has.
        let account = match login.email.parse::<Email>() {
            Ok(email) => find_account(db, &email).await?,
            Err(_) => None,
        };
        let hash = account.as_ref().map(|account| account.password_hash.clone());
        let verified = passwords::verify(login.password, hash, Asker::Stranger, &self.metrics).await?;
        let signed_in = match &account {
            Some(account) if verified && account.active => {
                self.begin_session(db, account, login.code.as_ref(), client, source, credential).await
            }
            _ => Err(Error::InvalidCredentials),
        };
        match &signed_in {
            Ok(_) => self.metrics.count(SignInOutcome::SignedIn),
            Err(Error::TotpRequired) => self.metrics.count(SignInOutcome::CodeMissing),
            Err(wrong @ (Error::InvalidCredentials | Error::InvalidCode)) => {
                self.metrics.count(SignInOutcome::Wrong);
                // The address that was typed is not recorded: people type passwords there.
                let id = account.map_or_else(|| "unknown".to_owned(), |account| account.id.to_string());
                let failed = Action::new("auth.sign_in_failed", "user", id).data(json!({ "code": wrong.code() }));
                actions::record_by(&mut *db.acquire().await?, None, source, failed).await?;
            }
            Err(_) => {}
        }
        signed_in
    }

    /// The session is begun by one statement that checks the account again: since we read it, it may have been
    /// deactivated, or have got another password or a second factor.
    async fn begin_session(
        &self,
        db: &PgPool,
        account: &Account,
        code: Option<&SecretString>,
        client: &Client,
        source: &Source,
        credential: &Credential,
    ) -> Result<BegunSession> {
        if client.surface == Surface::Console && account.role == Role::Customer {
            return Err(Error::Forbidden { needed: Role::Staff.name() });
        }
        let mut tx = db.begin().await?;
        let by = By { id: account.id.0, name: account.name.as_str().to_owned() };
        if account.has_totp {
            let code = code.ok_or(Error::TotpRequired)?;
            if !second_factor::spend(&mut tx, &by, source, code).await? {
                return Err(Error::InvalidCode);
            }
        }
        let session = sqlx::query!(
            "with begun as (
                 insert into sessions
                        (user_id, expires_at, surface, address, user_agent, last_seen_at, password_at, cookie_hash)
                 select id, clock_timestamp() + make_interval(secs =>
                            case role when 'customer' then $3 else least($3, $6::float8) end),
                        $7, $8::text::inet, $9, clock_timestamp(), clock_timestamp(), $11
                   from users u
                  where id = $1 and password_hash = $2 and active
                    and ($10 or not exists (select from totp t where t.user_id = u.id and t.confirmed_at is not null))
                    for share
                 returning id, expires_at
             ), kept as (
                 insert into refresh_tokens (hash, session_id, expires_at)
                 select $4, id, least(expires_at, clock_timestamp() + make_interval(secs => $5)) from begun
                  where $4::bytea is not null
             )
             select id as \"id: SessionId\", expires_at from begun",
            account.id.0,
            account.password_hash,
            self.session_max_age.as_secs_f64(),
            credential.refresh_token(),
            self.refresh_token_ttl.as_secs_f64(),
            self.staff_session_max_age.as_secs_f64(),
            client.surface as Surface,
            client.written_address(),
            client.user_agent,
            account.has_totp,
            credential.cookie(),
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Error::InvalidCredentials)?;
        if let Some(address) = client.address {
            known_networks::record(&mut tx, account.id, Network::of(address)).await?;
        }
        let signed_in = Action::new("auth.signed_in", "user", account.id).data(json!({ "session_id": session.id }));
        actions::record_by(&mut tx, Some(&by), source, signed_in).await?;
        tx.commit().await?;
        Ok(BegunSession { user_id: account.id, session_id: session.id, expires_at: session.expires_at })
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
                    set spent_at = statement_timestamp(), spent_by = $2, successor_sealed = $3
                   from sessions s join users u on u.id = s.user_id
                  where t.hash = $1 and t.spent_at is null and t.expires_at > statement_timestamp()
                    and s.id = t.session_id and u.active
                    and session_is_live(s.ended_at, s.expires_at, s.created_at, s.last_seen_at, u.role, $6, $7,
                                        statement_timestamp())
                 returning s.id, s.user_id, s.expires_at
             ), kept as (
                 insert into refresh_tokens (hash, session_id, expires_at)
                 select $4, id, least(expires_at, statement_timestamp() + make_interval(secs => $5)) from spent
             ), seen as (
                 update sessions s
                    set last_seen_at = statement_timestamp(), address = $8::text::inet, user_agent = $9
                   from spent where s.id = spent.id
             )
             select id as \"id: SessionId\", user_id as \"user_id: UserId\", expires_at from spent",
            &token.hash()[..],
            &client.fingerprint()[..],
            &token.seal(&next)[..],
            &next.hash()[..],
            self.refresh_token_ttl.as_secs_f64(),
            self.staff_session_max_age.as_secs_f64(),
            self.staff_idle.as_secs_f64(),
            client.written_address(),
            client.user_agent,
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
              where t.hash = $1 and t.spent_at is not null and u.active
                and session_is_live(s.ended_at, s.expires_at, s.created_at, s.last_seen_at, u.role, $4, $5,
                                    statement_timestamp())",
            &token.hash()[..],
            &client.fingerprint()[..],
            LOST_ANSWER_SECONDS,
            self.staff_session_max_age.as_secs_f64(),
            self.staff_idle.as_secs_f64(),
        )
        .fetch_optional(&mut *conn)
        .await?;
        let Some(spent) = spent else { return Ok(Refreshed::Refused) };
        if spent.lost {
            let next = token.unseal(&spent.successor_sealed)?;
            return self.tokens(spent.user_id, spent.id, spent.expires_at, &next).map(Refreshed::Tokens);
        }
        sessions::end(conn, spent.id).await?;
        // Nobody knows whether the user or the thief sent it, so there is no actor.
        let reused = Action::new("auth.refresh_token_reused", "user", spent.user_id);
        actions::record_by(conn, None, source, reused.data(json!({ "session_id": spent.id }))).await?;
        tracing::warn!(user_id = %spent.user_id, session_id = %spent.id, "a refresh token was used twice, so its session has ended");
        Ok(Refreshed::Stolen(spent.id))
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

/// What the client will show to prove that the session is its own. The database gets only the hash.
pub(super) enum Credential {
    RefreshToken([u8; 32]),
    Cookie([u8; 32]),
}

impl Credential {
    fn refresh_token(&self) -> Option<&[u8]> {
        if let Self::RefreshToken(hash) = self { Some(hash) } else { None }
    }

    fn cookie(&self) -> Option<&[u8]> {
        if let Self::Cookie(hash) = self { Some(hash) } else { None }
    }
}

pub(super) struct BegunSession {
    pub(super) user_id: UserId,
    pub(super) session_id: SessionId,
    pub(super) expires_at: DateTime<Utc>,
}

/// Who signs in.
struct Account {
    id: UserId,
    name: Name,
    role: Role,
    password_hash: String,
    active: bool,
    has_totp: bool,
}

async fn find_account(db: &PgPool, email: &Email) -> Result<Option<Account>> {
    Ok(sqlx::query_as!(
        Account,
        "select id as \"id: UserId\", name as \"name: Name\", role as \"role: Role\", password_hash, active,
                exists (select from totp t where t.user_id = u.id and t.confirmed_at is not null) as \"has_totp!\"
           from users u where email_key = $1 and kind = 'person'",
        email.key(),
    )
    .fetch_optional(db)
    .await?)
}
