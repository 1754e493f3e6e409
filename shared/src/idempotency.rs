//! What a caller asked for under a key, and what came of it. Alone writes `idempotency_keys`, but for the
//! placing of orders, which takes the keys of a whole batch in its own statements (`orders::placing`).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::error::{Error, Result};
use crate::values::UserId;

/// How long the second of two equal requests waits for the first.
pub const WAIT_FOR_KEY: Duration = Duration::from_secs(3);

/// A key as it came, at most 255 visible characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    pub fn parse(text: &str) -> Result<Self> {
        if (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::field("Idempotency-Key", "invalid_idempotency_key", "it has 1 to 255 visible ASCII characters"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What was asked for, so that another request under the same key is noticed.
#[derive(Clone, PartialEq, Eq)]
pub struct BodyHash([u8; 32]);

impl BodyHash {
    /// The meaning counts and not the spelling: the order of fields and blanks changes nothing.
    pub fn of(method: &str, path: &str, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(method);
        hash.update([0]);
        hash.update(path);
        hash.update([0]);
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => hash.update(value.to_string()),
            Err(_) => hash.update(body),
        }
        Self(hash.finalize().into())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for BodyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}{:02x}…", self.0[0], self.0[1], self.0[2])
    }
}

/// An answer that was given before, and is given again.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// `location` and `etag`, where the first answer had them.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

#[derive(Debug)]
pub enum Claim {
    /// Ours to carry out; the key is kept if the transaction commits.
    Fresh,
    /// Carried out before.
    Replay(Answer),
    /// Somebody carries it out right now.
    Busy,
}

/// Takes a key for this transaction, and never waits for another one.
pub async fn claim(conn: &mut PgConnection, caller: UserId, key: &Key, hash: &BodyHash) -> Result<Claim> {
    // The lock ends with the transaction. A key of more than a day ago is as good as never used.
    let claimed = sqlx::query_scalar!(
        "insert into idempotency_keys as k (caller_id, key, body_hash)
         select $1, $2, $3 where pg_try_advisory_xact_lock(hashtextextended($1::uuid::text || $2, 0))
         on conflict (caller_id, key) do update
            set body_hash = excluded.body_hash, resource = null, status = null, headers = null, body = null,
                created_at = clock_timestamp()
          where k.created_at < now() - interval '24 hours'
         returning true as \"claimed!\"",
        caller.0,
        key.as_str(),
        hash.as_bytes(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    if claimed.is_some() {
        return Ok(Claim::Fresh);
    }
    // Locked, so that something is written: the commit then waits until the standby has that, and what was before it.
    let earlier = sqlx::query!(
        "select body_hash, status, headers, body from idempotency_keys where caller_id = $1 and key = $2 for key share",
        caller.0,
        key.as_str(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(earlier) = earlier else { return Ok(Claim::Busy) };
    if earlier.body_hash != hash.as_bytes() {
        return Err(Error::IdempotencyKeyReused);
    }
    let status = earlier.status.and_then(|status| u16::try_from(status).ok());
    let headers = earlier.headers.map(serde_json::from_value).transpose().map_err(Error::internal)?;
    match (status, headers, earlier.body) {
        (Some(status), Some(headers), Some(body)) => Ok(Claim::Replay(Answer { status, headers, body })),
        _ => Err(Error::internal("an idempotency key has no answer")),
    }
}

/// Keeps the answer beside its effect, in the effect's transaction.
pub async fn remember(conn: &mut PgConnection, caller: UserId, key: &Key, answer: &Answer) -> Result<()> {
    sqlx::query!(
        "update idempotency_keys set status = $3, headers = $4, body = $5 where caller_id = $1 and key = $2",
        caller.0,
        key.as_str(),
        i16::try_from(answer.status).map_err(Error::internal)?,
        serde_json::json!(answer.headers),
        answer.body,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets keys of more than a day ago, so many at most; tells how many.
pub async fn remove_expired(conn: &mut PgConnection, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "delete from idempotency_keys where ctid = any(array(
             select ctid from idempotency_keys where created_at < now() - interval '24 hours'
              order by created_at limit $1
                for update skip locked))",
        limit,
    )
    .execute(conn)
    .await?;
    Ok(removed.rows_affected())
}
