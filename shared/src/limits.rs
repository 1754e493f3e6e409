//! Rate limits: a token bucket per class and subject, kept as one moment in time (GCRA). Writes no table.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What kind of request it is; each kind has its own limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Signing in and up, per address.
    Login,
    /// Wrong passwords for one account from one address.
    Account,
    Write,
    Read,
    Bulk,
    Query,
}

/// So many requests in this time, all at once or spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub requests: u32,
    pub per: Duration,
}

impl std::str::FromStr for Limit {
    type Err = String;

    /// Reads `600/1m`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a limit such as 600/1m");
        let (requests, per) = text.split_once('/').ok_or_else(wrong)?;
        let requests = requests.parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
        let per = crate::settings::duration(per)?;
        if per.is_zero() {
            return Err(wrong());
        }
        Ok(Self { requests, per })
    }
}

/// How a request stands with its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub limit: u32,
    pub remaining: u32,
    /// Until the bucket is full again.
    pub reset: Duration,
    /// Set when the request is one too many: when the next one would be taken.
    pub retry_after: Option<Duration>,
}

/// The buckets of this process.
#[derive(Debug)]
pub struct Limiter {
    epoch: Instant,
    buckets: Mutex<HashMap<(Class, String), Duration>>,
}

/// Beyond this many subjects the full buckets are forgotten, which changes nothing for their owners.
const MAX_BUCKETS: usize = 100_000;

impl Default for Limiter {
    fn default() -> Self {
        Self { epoch: Instant::now(), buckets: Mutex::default() }
    }
}

impl Limiter {
    /// Takes one request out of the subject's bucket.
    pub fn take(&self, class: Class, subject: &str, limit: Limit) -> Standing {
        let now = self.epoch.elapsed();
        let mut buckets = self.buckets.lock().expect("no code panics while it holds the buckets");
        if buckets.len() >= MAX_BUCKETS {
            buckets.retain(|_, full_at| *full_at > now);
            if buckets.len() >= MAX_BUCKETS {
                buckets.clear(); // An attack from many addresses: better to count anew than to grow.
            }
        }
        let full_at = buckets.entry((class, subject.to_owned())).or_insert(now);
        let (next, standing) = drip(*full_at, now, limit);
        *full_at = next;
        standing
    }

    /// Gives a request back: it turned out not to count.
    pub fn give_back(&self, class: Class, subject: &str, limit: Limit) {
        let mut buckets = self.buckets.lock().expect("no code panics while it holds the buckets");
        if let Some(full_at) = buckets.get_mut(&(class, subject.to_owned())) {
            *full_at = full_at.saturating_sub(limit.per / limit.requests);
        }
    }
}

/// The whole rule: a bucket is the moment when it will be full again, and a request moves it by one interval.
fn drip(full_at: Duration, now: Duration, limit: Limit) -> (Duration, Standing) {
    let interval = limit.per / limit.requests;
    let full_at = full_at.max(now);
    let next = full_at + interval;
    let over = next.saturating_sub(now + limit.per);
    let (full_at, retry_after) = if over.is_zero() { (next, None) } else { (full_at, Some(over)) };
    let reset = full_at.saturating_sub(now);
    let free = limit.per.saturating_sub(reset).as_nanos() / interval.as_nanos().max(1);
    let remaining = u32::try_from(free).unwrap_or(limit.requests).min(limit.requests);
    (full_at, Standing { limit: limit.requests, remaining, reset, retry_after })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_A_SECOND: Limit = Limit { requests: 10, per: Duration::from_secs(1) };

    #[test]
    fn a_full_bucket_gives_its_limit_then_one_an_interval() {
        let (mut full_at, now) = (Duration::ZERO, Duration::from_secs(5));
        for left in (0..10).rev() {
            let (next, standing) = drip(full_at, now, TEN_A_SECOND);
            assert_eq!((standing.remaining, standing.retry_after), (left, None));
            full_at = next;
        }
        let (same, refused) = drip(full_at, now, TEN_A_SECOND);
        assert_eq!((same, refused.retry_after), (full_at, Some(Duration::from_millis(100))));
        let (_, later) = drip(full_at, now + Duration::from_millis(100), TEN_A_SECOND);
        assert_eq!(later.retry_after, None);
    }

    #[test]
    fn subjects_and_classes_do_not_share_a_bucket() {
        let limiter = Limiter::default();
        let one = Limit { requests: 1, per: Duration::from_hours(1) };
        assert!(limiter.take(Class::Read, "a", one).retry_after.is_none());
        assert!(limiter.take(Class::Read, "a", one).retry_after.is_some());
        assert!(limiter.take(Class::Read, "b", one).retry_after.is_none());
        assert!(limiter.take(Class::Write, "a", one).retry_after.is_none());
        limiter.give_back(Class::Write, "a", one);
        assert!(limiter.take(Class::Write, "a", one).retry_after.is_none());
    }

    #[test]
    fn limits_read_as_a_person_writes_them() {
        assert_eq!("10/1s".parse(), Ok(TEN_A_SECOND));
        for wrong in ["", "10", "0/1s", "x/1s", "10/0s", "10/x"] {
            assert!(wrong.parse::<Limit>().is_err(), "{wrong}");
        }
    }
}
