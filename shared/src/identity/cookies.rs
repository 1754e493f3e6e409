//! Sessions of browsers: signing in gives 32 random bytes for a cookie; the database has only their hash.
//!
//! A session of the shop is never one of the console. It ends by sign-out, a change of password, deactivation, after a
//! time without use, and at the latest after `SESSION_MAX_AGE`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use super::authenticate::Identity;
use super::sessions::{Account, LogIn};
use crate::actions::{self, Action};
use crate::error::{Error, Result};
use crate::principal::{By, Person, Role, Source, Surface};
use crate::values::SessionId;

/// `seen_at` is written at most once in this time.
const SEEN_EVERY: Duration = Duration::from_mins(1);

/// Longer ones say no more about a browser.
const USER_AGENT_CHARACTERS: usize = 300;

/// What the cookie carries.
pub struct CookieToken([u8; 32]);

impl CookieToken {
    fn random() -> Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(Error::internal)?;
        Ok(Self(bytes))
    }

    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    pub fn written(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }
}

impl Identity {
    /// Checks a password and begins a session of a browser, with a new cookie. Records the sign-in, or that it failed.
    ///
    /// Takes the pool, because no connection may be held while a password is hashed.
    pub async fn sign_in(
        &self,
        db: &PgPool,
        login: LogIn,
        surface: Surface,
        user_agent: &str,
        source: &Source,
    ) -> Result<CookieToken> {
        let account = self.check_password(db, login, source).await?;
        if surface == Surface::Console && account.role < Role::Staff {
            return Err(Error::Forbidden { needed: Role::Staff.name() });
        }
        self.begin_with_cookie(db, &account, surface, user_agent, source).await
    }

    /// Checks the account again: since we read it, it may have been deactivated or have got another password.
    async fn begin_with_cookie(
        &self,
        db: &PgPool,
        account: &Account,
        surface: Surface,
        user_agent: &str,
        source: &Source,
    ) -> Result<CookieToken> {
        let token = CookieToken::random()?;
        let mut tx = db.begin().await?;
        let user_agent: String = user_agent.chars().take(USER_AGENT_CHARACTERS).collect();
        let session_id = sqlx::query_scalar!(
            "insert into sessions (user_id, expires_at, surface, address, user_agent, seen_at, cookie_hash)
             select id, clock_timestamp() + make_interval(secs => $3), $4, $5::text::inet, $6, clock_timestamp(), $7
               from users where id = $1 and password_hash = $2 and active
                for share
             returning id as \"id: SessionId\"",
            account.id.0,
            account.password_hash,
            self.session_max_age.as_secs_f64(),
            surface.name(),
            source.address.map(|address| address.to_string()),
            user_agent,
            &token.hash()[..],
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Error::InvalidCredentials)?;
        let by = By { id: account.id.0, name: account.name.as_str().to_owned() };
        let data = json!({ "session_id": session_id, "surface": surface.name() });
        let signed_in = Action::new("auth.signed_in", "user", account.id).data(data);
        actions::record_by(&mut tx, Some(&by), source, signed_in).await?;
        tx.commit().await?;
        Ok(token)
    }

    /// Who does this cookie belong to? `None`: its session has ended, or there was none.
    pub async fn by_cookie(&self, db: &PgPool, token: &CookieToken, surface: Surface) -> Result<Option<Person>> {
        let hash = token.hash();
        let session = Box::pin(session_of(db, hash, surface));
        let session =
            self.cookies.try_get_with((hash, surface), session).await.map_err(|shared| Error::clone(&shared))?;
        match session {
            Some(id) => self.person_of(db, id).await,
            None => Ok(None),
        }
    }
}

/// The session of a cookie, if it is still good. Using it prolongs it.
async fn session_of(db: &PgPool, hash: [u8; 32], surface: Surface) -> Result<Option<SessionId>> {
    let found = sqlx::query!(
        "select id as \"id: SessionId\", seen_at < clock_timestamp() - make_interval(secs => $4) as \"stale!\"
           from sessions
          where cookie_hash = $1 and surface = $2 and ended_at is null and expires_at > clock_timestamp()
            and seen_at > clock_timestamp() - make_interval(secs => $3)",
        &hash[..],
        surface.name(),
        surface.idle().as_secs_f64(),
        SEEN_EVERY.as_secs_f64(),
    )
    .fetch_optional(db)
    .await?;
    let Some(found) = found else { return Ok(None) };
    if found.stale {
        sqlx::query!("update sessions set seen_at = clock_timestamp() where id = $1", found.id.0).execute(db).await?;
    }
    Ok(Some(found.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_as_it_was_written() {
        let token = CookieToken::random().unwrap();
        assert_eq!(CookieToken::parse(&token.written()).unwrap().0, token.0);
        assert!(CookieToken::parse("").is_none());
        assert!(CookieToken::parse("AAAA").is_none());
    }
}
