//! Rate limits: a token bucket per class and subject, kept as one moment in time (GCRA). Writes no table.
//!
//! The buckets are in Redis, where all processes take from the same one, by Redis's own clock: theirs may differ.
//! Each process keeps a copy of what it took itself. While Redis is away the copy is the bucket, so its loss is no
//! fresh start, and the limit holds per process.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use redis::Script;

use crate::platform::redis::Redis;

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

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Account => "account",
            Self::Write => "write",
            Self::Read => "read",
            Self::Bulk => "bulk",
            Self::Query => "query",
        }
    }
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
        let per = crate::platform::settings::duration(per)?;
        if per.is_zero() {
            return Err(wrong());
        }
        Ok(Self { requests, per })
    }
}

/// How a request stands with its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitState {
    pub limit: u32,
    pub remaining: u32,
    /// Until the bucket is full again.
    pub reset: Duration,
    /// Set when the request is one too many: when the next one would be taken.
    pub retry_after: Option<Duration>,
}

/// Where all requests take from.
pub struct Limiter {
    redis: Option<Redis>,
    here: Buckets,
}

impl Limiter {
    pub fn new(redis: Option<Redis>) -> Self {
        Self { redis, here: Buckets::default() }
    }

    /// Takes one request out of the subject's bucket.
    pub async fn take(&self, class: Class, subject: &str, limit: Limit) -> LimitState {
        match self.take_from_redis(class, subject, limit).await {
            Some(refused) if refused.retry_after.is_some() => refused,
            Some(standing) => {
                self.here.take(class, subject, limit);
                standing
            }
            None => self.here.take(class, subject, limit),
        }
    }

    /// Gives a request back: it turned out not to count.
    pub async fn give_back(&self, class: Class, subject: &str, limit: Limit) {
        self.here.give_back(class, subject, limit);
        let Some(redis) = &self.redis else { return };
        let key = key(redis, class, subject);
        redis.run::<()>(&key, GIVE_BACK.key(&key).arg(micros(limit.interval()))).await;
    }

    async fn take_from_redis(&self, class: Class, subject: &str, limit: Limit) -> Option<LimitState> {
        let redis = self.redis.as_ref()?;
        let key = key(redis, class, subject);
        let (reset, over): (u64, u64) =
            redis.run(&key, TAKE.key(&key).arg(micros(limit.interval())).arg(micros(limit.per))).await?;
        Some(limit.standing(Duration::from_micros(reset), Duration::from_micros(over)))
    }
}

fn key(redis: &Redis, class: Class, subject: &str) -> String {
    redis.key(&format!("limit:{}:{subject}", class.name()))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// `drip`, by Redis's clock and in microseconds. A key that is gone is a bucket that is full, so it may expire then.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local clock = redis.call('TIME')
          local now = clock[1] * 1000000 + clock[2]
          local interval, per = tonumber(ARGV[1]), tonumber(ARGV[2])
          local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
          local over = full_at + interval - now - per
          if over <= 0 then
              full_at = full_at + interval
              redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
          end
          return {full_at - now, math.max(over, 0)}",
    )
});

static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local full_at = redis.call('GET', KEYS[1])
          if full_at then
              redis.call('SET', KEYS[1], string.format('%.0f', full_at - tonumber(ARGV[1])), 'KEEPTTL')
          end",
    )
});

/// The buckets of this process, each the moment when it will be full again.
#[derive(Debug)]
struct Buckets {
    epoch: Instant,
    full_at: Mutex<HashMap<(Class, String), Duration>>,
}

/// Beyond this many subjects the full buckets are forgotten, which changes nothing for their owners.
const MAX_BUCKETS: usize = 100_000;

impl Default for Buckets {
    fn default() -> Self {
        Self { epoch: Instant::now(), full_at: Mutex::default() }
    }
}

impl Buckets {
    fn take(&self, class: Class, subject: &str, limit: Limit) -> LimitState {
        let now = self.epoch.elapsed();
        let mut buckets = self.full_at.lock().expect("no code panics while it holds the buckets");
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

    fn give_back(&self, class: Class, subject: &str, limit: Limit) {
        let mut buckets = self.full_at.lock().expect("no code panics while it holds the buckets");
        if let Some(full_at) = buckets.get_mut(&(class, subject.to_owned())) {
            *full_at = full_at.saturating_sub(limit.interval());
        }
    }
}

/// The whole rule: a bucket is the moment when it will be full again, and a request moves it by one interval.
fn drip(full_at: Duration, now: Duration, limit: Limit) -> (Duration, LimitState) {
    let full_at = full_at.max(now);
    let next = full_at + limit.interval();
    let over = next.saturating_sub(now + limit.per);
    let full_at = if over.is_zero() { next } else { full_at };
    (full_at, limit.standing(full_at.saturating_sub(now), over))
}

impl Limit {
    fn interval(self) -> Duration {
        self.per / self.requests
    }

    /// Of a bucket that is full again after `reset`, when the request came too early by `over`, if at all.
    fn standing(self, reset: Duration, over: Duration) -> LimitState {
        let free = self.per.saturating_sub(reset).as_nanos() / self.interval().as_nanos().max(1);
        let remaining = u32::try_from(free).unwrap_or(self.requests).min(self.requests);
        let retry_after = (!over.is_zero()).then_some(over);
        LimitState { limit: self.requests, remaining, reset, retry_after }
    }
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
        let buckets = Buckets::default();
        let one = Limit { requests: 1, per: Duration::from_hours(1) };
        assert!(buckets.take(Class::Read, "a", one).retry_after.is_none());
        assert!(buckets.take(Class::Read, "a", one).retry_after.is_some());
        assert!(buckets.take(Class::Read, "b", one).retry_after.is_none());
        assert!(buckets.take(Class::Write, "a", one).retry_after.is_none());
        buckets.give_back(Class::Write, "a", one);
        assert!(buckets.take(Class::Write, "a", one).retry_after.is_none());
    }

    #[test]
    fn limits_read_as_a_person_writes_them() {
        assert_eq!("10/1s".parse(), Ok(TEN_A_SECOND));
        for wrong in ["", "10", "0/1s", "x/1s", "10/0s", "10/x"] {
            assert!(wrong.parse::<Limit>().is_err(), "{wrong}");
        }
    }
}
