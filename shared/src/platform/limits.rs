//! Rate limits: a token bucket per class and subject, stored as one point in time (the algorithm is called GCRA). Writes no
//! table.
//!
//! The buckets are in Redis, so all processes share them. They use Redis's clock, because the clocks of processes differ.
//! Each process also counts its own requests in buckets of its own. While Redis is away those apply: the limit then holds
//! per process, and losing Redis does not reset it.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use redis::Script;

use crate::platform::redis::Redis;

/// The class of a request; each class has its own limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Class {
    /// Logging in, refreshing and the like: everything for which nobody need be known. Always per address.
    Login,
    /// New accounts, per address.
    Register,
    /// Wrong passwords for one account from one address.
    Account,
    /// Wrong passwords for one account from all addresses.
    AccountAll,
    Write,
    Read,
    Bulk,
    Query,
    /// All requests of an API key that has a limit of its own.
    Key,
}

/// So many requests in this time, all at once or spread over it.
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

/// The state of a bucket after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitState {
    pub limit: u32,
    pub remaining: u32,
    /// The time until the bucket is full again.
    pub reset: Duration,
    /// Set if the request exceeds the limit: the time until the next one would be accepted.
    pub retry_after: Option<Duration>,
}

impl LimitState {
    /// Set if the request exceeds the limit: whole seconds until the next one would be accepted.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(whole_seconds)
    }

    /// Whole seconds until the bucket is full again.
    pub fn reset_seconds(&self) -> u64 {
        whole_seconds(self.reset)
    }
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

/// A /48 of IPv6 may have this many times what a /64 may have: it can be one home, and it can be a company.
pub const OF_A_SITE: u32 = 8;

/// All buckets.
pub struct Limiter {
    redis: Option<Redis>,
    local: Buckets,
}

impl Limiter {
    pub fn new(redis: Option<Redis>) -> Self {
        Self { redis, local: Buckets::default() }
    }

    /// Counts one request of this subject.
    pub async fn take(&self, class: Class, subject: &str, limit: Limit) -> LimitState {
        match self.take_from_redis(class, subject, limit).await {
            Some(refused) if refused.retry_after.is_some() => refused,
            Some(state) => {
                self.local.take(class, subject, limit);
                state
            }
            None => self.local.take(class, subject, limit),
        }
    }

    /// Takes back one request that should not count.
    pub async fn give_back(&self, class: Class, subject: &str, limit: Limit) {
        self.local.give_back(class, subject, limit);
        let Some(redis) = &self.redis else { return };
        let key = key(redis, class, subject);
        redis.run::<()>(&key, GIVE_BACK.key(&key).arg(micros(limit.interval()))).await;
    }

    async fn take_from_redis(&self, class: Class, subject: &str, limit: Limit) -> Option<LimitState> {
        let redis = self.redis.as_ref()?;
        let key = key(redis, class, subject);
        let (reset, over): (u64, u64) =
            redis.run(&key, TAKE.key(&key).arg(micros(limit.interval())).arg(micros(limit.per))).await?;
        Some(limit.state(Duration::from_micros(reset), Duration::from_micros(over)))
    }
}

fn key(redis: &Redis, class: Class, subject: &str) -> String {
    redis.key(&format!("limit:{class}:{subject}"))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The same rule as `take_one`, with Redis's clock and in microseconds. A missing key is a full bucket, so a key expires when
/// its bucket is full.
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

/// The buckets of this process. Each is stored as the time at which it will be full again.
#[derive(Debug)]
struct Buckets {
    epoch: Instant,
    full_at: Mutex<HashMap<(Class, String), Duration>>,
}

/// With more subjects than this we remove the buckets that are full, which changes nothing for their subjects.
const MAX_BUCKETS: usize = 100_000;

impl Default for Buckets {
    fn default() -> Self {
        Self { epoch: Instant::now(), full_at: Mutex::default() }
    }
}

impl Buckets {
    fn take(&self, class: Class, subject: &str, limit: Limit) -> LimitState {
        let now = self.epoch.elapsed();
        let mut buckets = self.full_at.lock().expect("no code panics while it holds this lock");
        if buckets.len() >= MAX_BUCKETS {
            buckets.retain(|_, full_at| *full_at > now);
            if buckets.len() >= MAX_BUCKETS {
                buckets.clear(); // An attack from many addresses: we would rather lose the counts than run out of memory.
            }
        }
        let full_at = buckets.entry((class, subject.to_owned())).or_insert(now);
        let (next, state) = take_one(*full_at, now, limit);
        *full_at = next;
        state
    }

    fn give_back(&self, class: Class, subject: &str, limit: Limit) {
        let mut buckets = self.full_at.lock().expect("no code panics while it holds this lock");
        if let Some(full_at) = buckets.get_mut(&(class, subject.to_owned())) {
            *full_at = full_at.saturating_sub(limit.interval());
        }
    }
}

/// The whole rule: each request moves the time at which the bucket is full by one interval, and the bucket is empty when
/// that time is `limit.per` ahead.
fn take_one(full_at: Duration, now: Duration, limit: Limit) -> (Duration, LimitState) {
    let full_at = full_at.max(now);
    let next = full_at + limit.interval();
    let over = next.saturating_sub(now + limit.per);
    let full_at = if over.is_zero() { next } else { full_at };
    (full_at, limit.state(full_at.saturating_sub(now), over))
}

impl Limit {
    /// The same time, and this many times the requests.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        Self { requests: self.requests.saturating_mul(factor), ..self }
    }

    /// The most requests that it lets through in so much time: a full bucket, and what flows into it meanwhile.
    pub fn most_in(self, time: Duration) -> u64 {
        let flows = time.as_nanos() / self.interval().as_nanos().max(1);
        u64::from(self.requests) + u64::try_from(flows).unwrap_or(u64::MAX)
    }

    fn interval(self) -> Duration {
        self.per / self.requests
    }

    /// `reset`: the time until the bucket is full. `over`: by how much the request came too early; zero if it did not.
    fn state(self, reset: Duration, over: Duration) -> LimitState {
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
            let (next, state) = take_one(full_at, now, TEN_A_SECOND);
            assert_eq!((state.remaining, state.retry_after), (left, None));
            full_at = next;
        }
        let (same, refused) = take_one(full_at, now, TEN_A_SECOND);
        assert_eq!((same, refused.retry_after), (full_at, Some(Duration::from_millis(100))));
        let (_, later) = take_one(full_at, now + Duration::from_millis(100), TEN_A_SECOND);
        assert_eq!(later.retry_after, None);
    }

    #[test]
    fn no_client_gets_more_than_the_most_however_it_spreads_its_requests() {
        let limit = Limit { requests: 10, per: Duration::from_mins(5) };
        assert_eq!(limit.most_in(Duration::from_hours(1)), 10 + 120);
        for pause_seconds in [1, 7, 30, 31] {
            let (mut full_at, mut accepted) = (Duration::ZERO, 0);
            for second in (0..3600).step_by(pause_seconds) {
                let (next, state) = take_one(full_at, Duration::from_secs(second), limit);
                full_at = next;
                accepted += u64::from(state.retry_after.is_none());
            }
            assert!(accepted <= limit.most_in(Duration::from_hours(1)), "{accepted}");
            assert!(pause_seconds > 7 || accepted >= 129, "{accepted}");
        }
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
