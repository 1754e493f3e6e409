//! Remembers the answer to each request that has an `Idempotency-Key`, so that the client can repeat the request safely.
//! Alone writes `idempotency_keys`, except for the placing of orders, which claims the keys of a whole batch in statements
//! of its own (`orders::placing`).

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

/// A key is free again after this time. Clients repeat a request within minutes; a day also covers an outage overnight.
pub const KEY_LIFETIME: Duration = Duration::from_hours(24);

/// A key as the client sent it: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    pub fn parse(text: &str) -> Result<Self> {
        if (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::field("Idempotency-Key", "invalid_idempotency_key", "a key has 1 to 255 visible ASCII characters"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The hash of a request. It shows whether another request uses the same key.
#[derive(Clone, PartialEq, Eq)]
pub struct BodyHash([u8; 32]);

impl BodyHash {
    /// JSON is compared by meaning: the order of fields and white space do not matter.
    pub fn of(method: &str, path: &str, body: &[u8]) -> Self {
        let mut hash = Self::begin(method, path);
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => hash.update(value.to_string()),
            Err(_) => hash.update(body),
        }
        Self(hash.finalize().into())
    }

    /// Compares byte by byte, for large bodies: to compare by meaning takes a hundred times their memory.
    pub fn of_bytes(method: &str, path: &str, body: &[u8]) -> Self {
        Self(Self::begin(method, path).chain_update(body).finalize().into())
    }

    fn begin(method: &str, path: &str) -> Sha256 {
        Sha256::new().chain_update(method).chain_update([0]).chain_update(path).chain_update([0])
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

/// The stored answer to an earlier request.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// `location` and `etag`, if the answer had them.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

#[derive(Debug)]
pub enum Claim {
    /// The caller must carry out the request. The key is used up if the transaction commits.
    Fresh,
    /// The request was carried out before; this was the answer.
    Replay(Answer),
    /// Another transaction is carrying out the request.
    Busy,
}

/// Claims a key for this transaction. It never waits for another transaction.
pub async fn claim(conn: &mut PgConnection, caller: UserId, key: &Key, hash: &BodyHash) -> Result<Claim> {
    // The lock ends with the transaction. An expired key is overwritten, as if it had never been used.
    let claimed = sqlx::query_scalar!(
        "with claimed as (
             insert into idempotency_keys as k (caller_id, key, body_hash)
             select $1, $2, $3 where pg_try_advisory_xact_lock(hashtextextended($1::uuid::text || $2, 0))
             on conflict (caller_id, key) do update
                set body_hash = excluded.body_hash, resource = null, status = null, headers = null, body = null,
                    created_at = excluded.created_at
              where excluded.created_at - k.created_at > $4::interval
             returning true as claimed)
         select claimed as \"claimed!\" from claimed",
        caller.0,
        key.as_str(),
        hash.as_bytes(),
        KEY_LIFETIME as _,
    )
    .fetch_optional(&mut *conn)
    .await?;
    if claimed.is_some() {
        return Ok(Claim::Fresh);
    }
    // `for key share` writes to the row, so our commit waits until the synchronous standby has everything up to here. Without
    // it we could return an answer that a failover loses.
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

/// Stores the answer, in the transaction that carried out the request.
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

/// Deletes up to `limit` expired keys and returns how many it deleted.
pub async fn remove_expired(conn: &mut PgConnection, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "delete from idempotency_keys where ctid = any(array(
             select ctid from idempotency_keys where created_at < now() - $2::interval
              order by created_at limit $1
                for update skip locked))",
        limit,
        KEY_LIFETIME as _,
    )
    .execute(conn)
    .await?;
    Ok(removed.rows_affected())
}
