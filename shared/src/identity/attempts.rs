//! Limits how often a password may be tried for one account from one address. Writes no table.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::platform::limits::{Class, Limit, Limiter};
use crate::principal::Source;

/// Whose password is tried, from where.
pub struct Tried<'a> {
    pub limiter: &'a Limiter,
    /// `None`: rate limits are off.
    pub limit: Option<Limit>,
    pub source: &'a Source,
}

/// The account of an address that somebody typed, whether it exists or not.
pub fn account_of(email: &str) -> [u8; 32] {
    Sha256::digest(email.trim().to_lowercase()).into()
}

impl Tried<'_> {
    /// Runs an attempt to use a password, unless there were too many wrong ones for this account from this address. An
    /// account that does not exist is treated alike. The attempt is counted before it runs, so that attempts in parallel
    /// count too; one that was not wrong is given back.
    pub async fn attempt<T>(&self, account: &[u8], attempt: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(limit) = self.limit else { return attempt.await };
        let address = self.source.address.map_or_else(String::new, |address| address.to_string());
        let subject = format!("{}|{address}", HexOf(account));
        if let Some(after) = self.limiter.take(Class::Account, &subject, limit).await.retry_after {
            let retry_after_seconds = after.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
            return Err(Error::RateLimited { retry_after_seconds });
        }
        let outcome = attempt.await;
        if !matches!(outcome, Err(Error::InvalidCredentials)) {
            self.limiter.give_back(Class::Account, &subject, limit).await;
        }
        outcome
    }
}

struct HexOf<'a>(&'a [u8]);

impl fmt::Display for HexOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
