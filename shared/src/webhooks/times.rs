//! When a delivery is tried again, and when a failing endpoint is probed. `WEBHOOK_RETRY_SCALE` multiplies all of these
//! times. Writes no table.

use std::time::Duration;

use chrono::{DateTime, Utc};

const SECOND: u64 = 1;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The waits after each failed attempt, as Standard Webhooks recommends: 75 hours in all.
const AFTER_FAILURE: [u64; 9] =
    [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
/// The waits before the first and the second probe of a failing endpoint, and before each later one.
const BEFORE_PROBE: [u64; 3] = [5 * MINUTE, 30 * MINUTE, HOUR];
/// A receiver cannot put a delivery off for longer than this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * HOUR);
/// An endpoint without a success for so long is disabled, if it was also probed often enough.
const DISABLED_AFTER: Duration = Duration::from_secs(72 * HOUR);

/// After so many failed attempts a delivery is `failed`.
pub const ATTEMPTS: usize = AFTER_FAILURE.len() + 1;
/// After so many failures in a row an endpoint is only probed.
pub const FAILURES: i32 = 5;
/// An endpoint is not disabled before so many probes.
pub const PROBES: i32 = 10;
/// Two deliveries that failed together are not tried again at the same moment.
const JITTER: f64 = 0.1;

/// The factor of all times: 1, or less to rehearse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryTimes {
    pub scale: f64,
}

impl RetryTimes {
    /// The wait after so many failed attempts of one delivery. None: it is given up. `jitter` is from 0 to 1.
    pub fn after_failure(self, attempts: usize, jitter: f64) -> Option<Duration> {
        let wait = AFTER_FAILURE.get(attempts.checked_sub(1)?)?;
        Some(self.scaled(Duration::from_secs(*wait)).mul_f64(1.0 - JITTER + 2.0 * JITTER * jitter))
    }

    /// The wait before the next probe, after so many probes.
    pub fn before_probe(self, probes: usize) -> Duration {
        self.scaled(Duration::from_secs(BEFORE_PROBE[probes.min(BEFORE_PROBE.len() - 1)]))
    }

    pub fn disabled_after(self) -> Duration {
        self.scaled(DISABLED_AFTER)
    }

    /// The header `Retry-After`: seconds or a date, at most a day.
    pub fn retry_after(self, header: &str, now: DateTime<Utc>) -> Option<Duration> {
        let header = header.trim();
        let wait = match header.parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            // Longer numbers are not numbers of seconds that we would wait.
            Err(_) if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) => LONGEST_RETRY_AFTER,
            Err(_) => {
                let date = httpdate::parse_http_date(header).ok()?;
                date.duration_since(now.into()).unwrap_or_default()
            }
        };
        Some(self.scaled(wait.min(LONGEST_RETRY_AFTER)))
    }

    fn scaled(self, time: Duration) -> Duration {
        time.mul_f64(self.scale)
    }
}

/// Reads `WEBHOOK_RETRY_SCALE`.
pub fn scale(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not a number from 0.00001 to 1");
    text.parse().ok().filter(|scale| (0.00001..=1.0).contains(scale)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: RetryTimes = RetryTimes { scale: 1.0 };

    #[test]
    fn the_schedule_has_ten_attempts() {
        let waits: Vec<_> =
            (1..).map_while(|attempt| REAL.after_failure(attempt, 0.5)).map(|it| it.as_secs()).collect();
        assert_eq!(waits, AFTER_FAILURE);
        assert_eq!(ATTEMPTS, 10);
        assert_eq!(REAL.after_failure(1, 0.0), Some(Duration::from_millis(4500)));
        assert_eq!(REAL.after_failure(1, 1.0), Some(Duration::from_millis(5500)));
        assert_eq!(REAL.after_failure(0, 0.5), None);
    }

    #[test]
    fn everything_is_scaled() {
        let fast = RetryTimes { scale: 0.001 };
        assert_eq!(fast.after_failure(1, 0.5), Some(Duration::from_millis(5)));
        assert_eq!([0, 1, 2, 9].map(|probes| fast.before_probe(probes).as_millis()), [300, 1800, 3600, 3600]);
        assert_eq!(fast.disabled_after(), Duration::from_millis(259_200));
        assert_eq!(fast.retry_after("120", Utc::now()), Some(Duration::from_millis(120)));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_at_most_a_day() {
        let now = DateTime::parse_from_rfc3339("2026-11-21T08:00:00Z").unwrap().to_utc();
        for (header, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("999999", Some(86_400)),
            ("99999999999999999999999", Some(86_400)),
            ("Sat, 21 Nov 2026 08:01:00 GMT", Some(60)),
            ("Sat, 21 Nov 2026 07:00:00 GMT", Some(0)),
            ("Sun, 21 Nov 2027 08:01:00 GMT", Some(86_400)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(REAL.retry_after(header, now).map(|wait| wait.as_secs()), seconds, "{header}");
        }
    }

    #[test]
    fn a_scale_has_bounds() {
        for (text, fine) in [("1", true), ("0.00001", true), ("0", false), ("1.1", false), ("NaN", false), ("x", false)]
        {
            assert_eq!(scale(text).is_ok(), fine, "{text}");
        }
    }
}
