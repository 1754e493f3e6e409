//! How long a failed job waits for its next attempt: the wait doubles, with jitter, up to a cap.
//!
//! The crate `backoff` is unmaintained (RUSTSEC-2025-0012), but the customer asked for it by name. It only computes
//! the waits, and only here. Its jitter may exceed its cap, so we apply the cap again.

use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff;

#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    pub initial: Duration,
    pub max: Duration,
    /// The number of attempts that a job has, at first and after each retry by hand.
    pub budget: i32,
}

/// After this many failures the wait has long reached its cap.
const STEPS: i32 = 64;

impl Schedule {
    /// The number of this attempt within its budget, from 1. A retry by hand starts a new budget.
    pub fn spent(&self, attempt: i32, max_attempt: i32) -> i32 {
        attempt.min(self.budget - (max_attempt - attempt)).max(1)
    }

    /// The wait after so many failed attempts.
    pub fn after(&self, attempt: i32) -> Duration {
        let mut schedule = ExponentialBackoffBuilder::new()
            .with_initial_interval(self.initial)
            .with_max_interval(self.max)
            .with_multiplier(2.0)
            .with_randomization_factor(0.2)
            .with_max_elapsed_time(None)
            .build();
        let waits = std::iter::from_fn(|| schedule.next_backoff());
        let last = usize::try_from(attempt.clamp(1, STEPS)).expect("it is positive") - 1;
        waits.take(last + 1).last().unwrap_or(self.max).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let schedule = Schedule { initial: Duration::from_secs(1), max: Duration::from_mins(5), budget: 8 };
        for (attempt, about) in [(1, 1), (2, 2), (3, 4), (5, 16), (8, 128), (10, 300), (1000, 300)] {
            for _ in 0..50 {
                let wait = schedule.after(attempt).as_secs_f64();
                let about = f64::from(about);
                assert!(
                    (about * 0.79..=(about * 1.21).min(300.0)).contains(&wait),
                    "{attempt}: {wait} is not about {about}"
                );
            }
        }
    }

    #[test]
    fn a_retry_by_hand_begins_with_short_waits_again() {
        let schedule = Schedule { initial: Duration::from_secs(1), max: Duration::from_mins(5), budget: 8 };
        for (attempt, max_attempt, spent) in [
            (1, 8, 1),
            (7, 8, 7),
            (9, 16, 1), // Dead after eight, retried.
            (12, 16, 4),
            (4, 12, 1), // Dead after four of eight for good, retried.
            (3, 9, 2),  // Handed back once.
            (2, 4, 2),  // Written when the budget was another.
        ] {
            assert_eq!(schedule.spent(attempt, max_attempt), spent, "{attempt} of {max_attempt}");
        }
    }
}
