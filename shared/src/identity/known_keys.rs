//! Tells whose API key a request came with, and caches the answer for half a minute. Writes down in batches when each key
//! was last used.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use moka::future::Cache;
use sqlx::PgPool;
use subtle::ConstantTimeEq;

use super::key_text;
use crate::error::{Error, Result};
use crate::platform::addresses::{self, Networks};
use crate::principal::ServiceAccount;
use crate::values::{ApiKeyId, Name, UserId};

/// Cached keys; each takes a few hundred bytes.
const KEYS_REMEMBERED: u64 = 10_000;

/// How often a process writes down when keys were last used. We promise that the time is at most 90 s late.
pub const USES_WRITTEN_EVERY: Duration = Duration::from_mins(1);

/// The API keys that this process has seen lately.
pub struct KnownKeys {
    /// By the prefix. A prefix that nobody has is not cached, so made-up keys do not fill it.
    keys: Cache<String, Arc<StoredKey>>,
    /// The last use of each key since the last time that they were written.
    uses: Mutex<HashMap<ApiKeyId, KeyUse>>,
}

/// A key as it was in the database.
struct StoredKey {
    hash: [u8; 32],
    account: ServiceAccount,
    /// Empty: any address.
    allowed: Networks,
    /// `None`: it is revoked, or its account is not active. The database's clock decided it.
    usable_until: Option<Instant>,
}

#[derive(Clone, Copy)]
struct KeyUse {
    at: DateTime<Utc>,
    address: Option<IpAddr>,
}

impl KnownKeys {
    pub(super) fn new(believed_for: Duration) -> Self {
        let keys = Cache::builder().max_capacity(KEYS_REMEMBERED).time_to_live(believed_for);
        Self { keys: keys.support_invalidation_closures().build(), uses: Mutex::default() }
    }

    /// Whose key is it, and may it be used from this address? Counts as a use of the key.
    pub async fn authenticate(&self, db: &PgPool, key: &str, address: Option<IpAddr>) -> Result<ServiceAccount> {
        let prefix = key_text::prefix_of(key).ok_or(Error::BadKey)?;
        // Boxed because it is rare: otherwise the future of every request would have room for it.
        let stored = self.keys.try_get_with(prefix.to_owned(), Box::pin(find(db, prefix))).await;
        let stored = stored.map_err(|shared| Error::clone(&shared))?;
        let is_same = bool::from(stored.hash.ct_eq(&key_text::hash(key)));
        if !is_same || stored.usable_until.is_none_or(|end| end <= Instant::now()) {
            return Err(Error::BadKey);
        }
        if !stored.allows(address) {
            return Err(Error::AddressNotAllowed);
        }
        self.uses().insert(stored.account.key_id, KeyUse { at: Utc::now(), address });
        Ok(stored.account.clone())
    }

    /// Call this after changing a key, so that this process notices at once.
    pub async fn forget_key(&self, prefix: &str) {
        self.keys.invalidate(prefix).await;
    }

    /// Call this after changing a service account, so that this process notices at once.
    pub fn forget_account(&self, id: UserId) {
        let its = move |_: &String, key: &Arc<StoredKey>| key.account.user_id == id;
        self.keys.invalidate_entries_if(its).expect("the cache is built with invalidation closures");
    }

    /// Writes down when keys were last used. What could not be written is tried again the next time.
    pub async fn write_uses(&self, db: &PgPool) -> Result<()> {
        let uses = std::mem::take(&mut *self.uses());
        let written = write(db, &uses).await;
        if written.is_err() {
            let mut newer = self.uses();
            for (id, used) in uses {
                newer.entry(id).or_insert(used);
            }
        }
        written
    }

    fn uses(&self) -> std::sync::MutexGuard<'_, HashMap<ApiKeyId, KeyUse>> {
        self.uses.lock().expect("no code panics while it holds the uses")
    }
}

impl StoredKey {
    fn allows(&self, address: Option<IpAddr>) -> bool {
        self.allowed.is_empty() || address.is_some_and(|address| self.allowed.contain(address))
    }
}

async fn find(db: &PgPool, prefix: &str) -> Result<Arc<StoredKey>> {
    let asked_at = Instant::now();
    let row = sqlx::query!(
        r#"select k.id as "id: ApiKeyId", k.hash, k.scopes, k.allowed_ips, k.limit_per_minute,
                  u.id as "user_id: UserId", u.name as "name: Name",
                  case when k.revoked_at is null and u.active
                       then extract(epoch from k.expires_at - clock_timestamp())::float8 end as usable_seconds
             from api_keys k join users u on u.id = k.user_id
            where k.prefix = $1"#,
        prefix,
    )
    .fetch_optional(db)
    .await?
    .ok_or(Error::BadKey)?;
    let usable_for = row.usable_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Ok(Arc::new(StoredKey {
        hash: row.hash.try_into().map_err(|_| Error::internal("the hash of a key does not have 32 bytes"))?,
        allowed: row.allowed_ips.iter().filter_map(|text| addresses::network(text)).collect(),
        usable_until: usable_for.map(|usable_for| asked_at + usable_for),
        account: ServiceAccount {
            user_id: row.user_id,
            name: row.name,
            key_id: row.id,
            // A scope that a newer release has written opens nothing here.
            scopes: row.scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
            limit_per_minute: row.limit_per_minute.and_then(|limit| u32::try_from(limit).ok()),
        },
    }))
}

/// All processes lock the rows in one order, so they do not deadlock.
async fn write(db: &PgPool, uses: &HashMap<ApiKeyId, KeyUse>) -> Result<()> {
    if uses.is_empty() {
        return Ok(());
    }
    let ids: Vec<uuid::Uuid> = uses.keys().map(|id| id.0).collect();
    let times: Vec<DateTime<Utc>> = uses.values().map(|used| used.at).collect();
    let addresses: Vec<Option<String>> = uses.values().map(|used| used.address.map(|it| it.to_string())).collect();
    sqlx::query!(
        "with used as (
             select * from unnest($1::uuid[], $2::timestamptz[], $3::text[]) as used (id, at, address)
         ), locked as (
             select id from api_keys where id = any($1) order by id for no key update
         )
         update api_keys k set last_used_at = used.at, last_used_ip = used.address::inet
           from used join locked using (id)
          where k.id = used.id and (k.last_used_at is null or k.last_used_at < used.at)",
        &ids,
        &times,
        &addresses as &[Option<String>],
    )
    .execute(db)
    .await?;
    Ok(())
}
