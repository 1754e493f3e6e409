//! Where each account has signed in from: these networks may go on signing in while others guess its password. Alone
//! writes `known_networks`.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};

use crate::error::Result;
use crate::platform::networks::Network;
use crate::values::{Email, UserId};

/// For so long after a sign-in its network is known.
const KNOWN_FOR_DAYS: i32 = 30;

/// Whose password is tried.
#[derive(Debug, Clone)]
pub enum Account {
    /// The normal form of an address (`Email::key`), whether there is such an account or not.
    Key(String),
    User(UserId),
}

impl Account {
    /// The account of an address as somebody typed it. A text that is no address belongs to no account, but is counted
    /// alike.
    pub fn typed(email: &str) -> Self {
        Self::Key(email.parse::<Email>().map_or_else(|_| email.trim().to_owned(), |email| email.key()))
    }

    /// The name under which attempts are counted. An address is hashed: people type passwords there.
    pub(super) fn bucket(&self) -> String {
        match self {
            Self::Key(key) => hex(&Sha256::digest(key)),
            Self::User(id) => id.to_string(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut written, byte| {
        write!(written, "{byte:02x}").expect("writing to a String cannot fail");
        written
    })
}

/// Records a sign-in from this network. Call it in the transaction of the sign-in.
pub(super) async fn record(conn: &mut PgConnection, user_id: UserId, network: Network) -> Result<()> {
    sqlx::query!(
        "insert into known_networks (user_id, network) values ($1, $2::text::inet)
         on conflict (user_id, network) do update set seen_at = excluded.seen_at",
        user_id.0,
        network.to_string(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has this account signed in from this network lately?
pub async fn knows(db: &PgPool, account: &Account, network: Network) -> Result<bool> {
    let (key, user_id) = match account {
        Account::Key(key) => (Some(key.as_str()), None),
        Account::User(id) => (None, Some(id.0)),
    };
    Ok(sqlx::query_scalar!(
        "select exists (
             select from users u join known_networks n on n.user_id = u.id
              where (u.email_key = $1 or u.id = $2) and n.network = $3::text::inet
                and n.seen_at > clock_timestamp() - make_interval(days => $4)) as \"exists!\"",
        key,
        user_id,
        network.to_string(),
        KNOWN_FOR_DAYS,
    )
    .fetch_one(db)
    .await?)
}

/// Deletes networks that are no longer known, and returns how many. For the retention job.
pub async fn remove_old(conn: &mut PgConnection, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "delete from known_networks where (user_id, network) in (
             select user_id, network from known_networks
              where seen_at < clock_timestamp() - make_interval(days => $2)
              order by seen_at limit $1 for update skip locked)",
        limit,
        KNOWN_FOR_DAYS,
    )
    .execute(conn)
    .await?;
    Ok(removed.rows_affected())
}
