//! Tells who an access token belongs to, and caches the answer for half a minute.

use std::time::Duration;

use chrono::Utc;
use moka::future::Cache;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use super::known_keys::KnownKeys;
use super::metrics::IdentityMetrics;
use super::tokens::{self, Keys, Session};
use crate::error::{Error, Result};
use crate::principal::{Person, Role};
use crate::values::{CustomerId, Name, SessionId, UserId};

/// How long a process caches who a session belongs to. A change of role, a deactivation or a logout in another process
/// takes effect here after this time at the latest; we promise 60 s.
pub const CALLER_BELIEVED_FOR: Duration = Duration::from_secs(30);

/// Cached sessions; each takes a few hundred bytes.
const CALLERS_REMEMBERED: u64 = 50_000;

/// Cached tokens whose signature has been checked. A check costs as much as a small query.
const TOKENS_REMEMBERED: u64 = 50_000;

/// The settings of `Identity`.
pub struct IdentitySettings {
    pub private_key: SecretString,
    /// PEMs, concatenated.
    pub previous_public_keys: Option<String>,
    pub access_token_ttl: Duration,
    pub refresh_token_ttl: Duration,
    pub session_max_age: Duration,
    /// The same for staff and administrators.
    pub staff_session_max_age: Duration,
    /// A session of staff that makes no request for so long has ended.
    pub staff_idle: Duration,
    /// Staff without a second factor may only set one up.
    pub staff_require_totp: bool,
    /// `CALLER_BELIEVED_FOR`; shorter in tests that cannot wait for it.
    pub caller_believed_for: Duration,
}

/// Signs and verifies tokens, and caches who they belong to.
pub struct Identity {
    pub(super) keys: Keys,
    pub(super) access_token_ttl: Duration,
    pub(super) refresh_token_ttl: Duration,
    pub(super) session_max_age: Duration,
    pub(super) staff_session_max_age: Duration,
    pub(super) staff_idle: Duration,
    staff_require_totp: bool,
    pub metrics: IdentityMetrics,
    /// By the token's hash, so that no token stays in memory longer than its request.
    tokens: Cache<[u8; 32], Session>,
    /// The sessions of cookies, by the cookie's hash.
    pub(super) cookies: Cache<[u8; 32], SessionId>,
    /// `None`: the session has ended. An ended session never becomes valid again.
    callers: Cache<SessionId, Option<Person>>,
    pub api_keys: KnownKeys,
}

impl Identity {
    /// The error is a sentence that names the setting at fault.
    pub fn new(settings: IdentitySettings) -> Result<Self, String> {
        let previous = settings.previous_public_keys.unwrap_or_default();
        Ok(Self {
            keys: Keys::new(&settings.private_key, &previous)?,
            access_token_ttl: settings.access_token_ttl,
            refresh_token_ttl: settings.refresh_token_ttl,
            session_max_age: settings.session_max_age,
            staff_session_max_age: settings.staff_session_max_age,
            staff_idle: settings.staff_idle,
            staff_require_totp: settings.staff_require_totp,
            metrics: IdentityMetrics::new().map_err(|error| error.to_string())?,
            tokens: Cache::builder().max_capacity(TOKENS_REMEMBERED).time_to_live(settings.access_token_ttl).build(),
            cookies: Cache::builder().max_capacity(CALLERS_REMEMBERED).time_to_idle(Duration::from_hours(1)).build(),
            api_keys: KnownKeys::new(settings.caller_believed_for),
            callers: Cache::builder()
                .max_capacity(CALLERS_REMEMBERED)
                .time_to_live(settings.caller_believed_for)
                .support_invalidation_closures()
                .build(),
        })
    }

    /// The keys that sign and verify our access tokens.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Who does this access token belong to? The role is the present one, not that of the time when it was signed.
    pub async fn authenticate(&self, db: &PgPool, token: &str) -> Result<Person> {
        let session = self.verify(token).await.ok_or(Error::Unauthenticated)?;
        let caller = self.person_of(db, session.session_id).await?;
        caller.filter(|caller| caller.user_id == session.user_id).ok_or(Error::Unauthenticated)
    }

    /// The person whose session this is. `None`: it has ended.
    pub(super) async fn person_of(&self, db: &PgPool, session_id: SessionId) -> Result<Option<Person>> {
        // Boxed because it is rare: otherwise the future of every request would have room for it.
        let caller = Box::pin(self.find_caller(db, session_id));
        self.callers.try_get_with(session_id, caller).await.map_err(|shared| Error::clone(&shared))
    }

    /// Checks the signature once per token, and the expiry each time.
    async fn verify(&self, token: &str) -> Option<Session> {
        if token.len() > tokens::MAX_BYTES {
            return None;
        }
        let hash = Sha256::digest(token).into();
        let session = if let Some(session) = self.tokens.get(&hash).await {
            session
        } else {
            let session = self.keys.verify(token)?;
            self.tokens.insert(hash, session).await;
            session
        };
        (session.expires_at > Utc::now()).then_some(session)
    }

    /// The person of a session that is live. They order as the oldest customer that is linked to them.
    ///
    /// Also records that the session was seen, at most once a minute: a session that nobody uses writes nothing, and one in
    /// heavy use not much.
    async fn find_caller(&self, db: &PgPool, session_id: SessionId) -> Result<Option<Person>> {
        let row = sqlx::query!(
            "with found as (
                 select u.id as user_id, u.name, u.role, c.id as customer_id,
                        exists (select from totp t where t.user_id = u.id and t.confirmed_at is not null) as has_totp
                   from sessions s
                   join users u on u.id = s.user_id
                   join lateral (select id from customers where user_id = u.id order by id limit 1) c on true
                  where s.id = $1 and u.active
                    and session_is_live(s.ended_at, s.expires_at, s.created_at, s.last_seen_at, u.role, $2, $3,
                                        statement_timestamp())
             ), seen as (
                 update sessions set last_seen_at = statement_timestamp()
                  where id = $1 and last_seen_at < statement_timestamp() - interval '1 minute'
                    and exists (select from found)
             )
             select user_id as \"user_id: UserId\", name as \"name: Name\", role as \"role: Role\",
                    customer_id as \"customer_id!: CustomerId\", has_totp as \"has_totp!\"
               from found",
            session_id.0,
            self.staff_session_max_age.as_secs_f64(),
            self.staff_idle.as_secs_f64(),
        )
        .fetch_optional(db)
        .await?;
        Ok(row.map(|row| Person {
            needs_totp: self.staff_require_totp && row.role != Role::Customer && !row.has_totp,
            user_id: row.user_id,
            name: row.name,
            session_id,
            role: row.role,
            customer_id: row.customer_id,
        }))
    }

    /// Call this after ending a session, so that this process notices at once.
    pub async fn forget_session(&self, id: SessionId) {
        self.callers.invalidate(&id).await;
    }

    /// Call this after changing a user, so that this process notices at once.
    pub fn forget_user(&self, id: UserId) {
        let theirs = move |_: &SessionId, caller: &Option<Person>| caller.as_ref().is_some_and(|c| c.user_id == id);
        self.callers.invalidate_entries_if(theirs).expect("the cache is built with invalidation closures");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_reach_other_processes_in_time() {
        assert!(CALLER_BELIEVED_FOR <= Duration::from_mins(1));
    }
}
