//! Sessions of browsers: a cookie carries 32 random bytes, and `sessions` has only their hash. No program ever reads the
//! cookie in the page, and no access token reaches the browser.

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;

use super::authenticate::Identity;
use super::refresh_tokens::{RefreshToken, digest};
use super::sessions::Surface;
use super::sign_in::{Client, Credential, LogIn};
use crate::error::{Error, Result};
use crate::principal::{Person, Source};
use crate::values::SessionId;

/// A session that a browser has begun.
pub struct BrowserSession {
    /// The value of the cookie.
    pub cookie: SecretString,
    pub expires_at: DateTime<Utc>,
}

impl Identity {
    /// As `log_in`, for a browser: the answer is a cookie. Only staff may sign in to the console.
    pub async fn log_in_by_cookie(
        &self,
        db: &PgPool,
        login: LogIn,
        client: &Client,
        source: &Source,
    ) -> Result<BrowserSession> {
        let cookie = RefreshToken::random()?;
        let credential = Credential::Cookie(hash(client.surface, &cookie));
        let begun = self.check_and_begin(db, login, client, source, &credential).await?;
        Ok(BrowserSession { cookie: cookie.written().into(), expires_at: begun.expires_at })
    }

    /// Whose cookie is this? A cookie of the shop is nobody's in the console, and the other way round.
    pub async fn authenticate_cookie(&self, db: &PgPool, surface: Surface, cookie: &SecretString) -> Result<Person> {
        let cookie = RefreshToken::parse(cookie.expose_secret()).ok_or(Error::Unauthenticated)?;
        let session_id = self.session_of_cookie(db, hash(surface, &cookie)).await?;
        self.person_of(db, session_id).await?.ok_or(Error::Unauthenticated)
    }

    /// That a cookie belongs to a session never changes, so it is cached for long. Whether the session is live is asked
    /// again each half minute.
    async fn session_of_cookie(&self, db: &PgPool, hash: [u8; 32]) -> Result<SessionId> {
        if let Some(id) = self.cookies.get(&hash).await {
            return Ok(id);
        }
        let id = sqlx::query_scalar!("select id as \"id: SessionId\" from sessions where cookie_hash = $1", &hash[..])
            .fetch_optional(db)
            .await?
            .ok_or(Error::Unauthenticated)?;
        self.cookies.insert(hash, id).await;
        Ok(id)
    }
}

/// The surface is part of the hash, so a cookie is good for one surface only.
fn hash(surface: Surface, cookie: &RefreshToken) -> [u8; 32] {
    digest(&[surface.name().as_bytes(), &cookie.hash()])
}
