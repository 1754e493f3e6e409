//! The timer of tasks that repeat.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// A timer that fires at once and then after each period. After a delay it does not catch up on missed ticks.
pub fn every(period: Duration) -> Interval {
    let mut every = interval(period);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    every
}
