//! What will go wrong, and when: drawn from the seed before the run begins, so that the same seed draws the same.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use crate::cluster::{APIS, LEASE, Server, WORKERS, Who};

/// The system has a moment to itself before the first fault.
const FIRST: Duration = Duration::from_secs(2);
/// Between two faults, in milliseconds. They last longer than that, so two or three are at work at once.
const PAUSE_MS: std::ops::Range<u64> = 300..2200;
/// A worker's death is measured where nothing else is broken; so often, and for so long.
const ALONE_EVERY: Duration = Duration::from_mins(1);
const ALONE_FOR: Duration = Duration::from_secs(LEASE.as_secs() + 3);
/// How long what came before may take to be well again.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// `kill -9`, and started again when the fault is over.
    Kill(Who),
    /// SIGSTOP and SIGCONT.
    Freeze(Who),
    /// SIGTERM; it is started again as soon as it has ended.
    Restart(Who),
    /// The network between a process and a server.
    Slow(Who, Server, Duration),
    Cut(Who, Server),
    Silence(Who, Server),
    /// Killed, and started again with what was in its file.
    KillRedis,
    FlushRedis,
    /// An `immediate` stop, and a start that has to recover.
    CrashPostgres,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub at: Duration,
    pub lasts: Duration,
    pub what: What,
    /// Nothing else is broken meanwhile: the recovery is timed.
    pub alone: bool,
}

/// Draws what happens in so many seconds.
pub fn draw(seed: u64, time: Duration) -> Vec<Fault> {
    let mut dice = Rng::with_seed(seed);
    let mut faults: Vec<Fault> = Vec::new();
    let (mut at, mut alone_at) = (FIRST, time / 4);
    while at < time {
        if at >= alone_at {
            let healed = faults.iter().map(|fault| fault.at + fault.lasts).max().unwrap_or_default().max(at);
            let what = What::Kill(Who::Worker(dice.usize(..WORKERS)));
            let fault = Fault { at: healed + SETTLE, lasts: ALONE_FOR, what, alone: true };
            (at, alone_at) = (fault.at + fault.lasts + SETTLE, alone_at + ALONE_EVERY);
            faults.push(fault);
            continue;
        }
        faults.extend(next(&mut dice, at));
        at += Duration::from_millis(dice.u64(PAUSE_MS));
    }
    faults.retain(|fault| fault.at + fault.lasts <= time);
    faults
}

/// One fault; or several, where every process is restarted in turn.
fn next(dice: &mut Rng, at: Duration) -> Vec<Fault> {
    let who = match dice.usize(..APIS + WORKERS) {
        api if api < APIS => Who::Api(api),
        worker => Who::Worker(worker - APIS),
    };
    let server = if dice.bool() { Server::Postgres } else { Server::Redis };
    let delay = Duration::from_millis(dice.u64(20..250));
    let (what, lasts_ms) = match dice.u32(..100) {
        0..22 => (What::Kill(who), 100..3000),
        // Often past the lease.
        22..40 => (What::Freeze(who), 500..6000),
        40..52 => (What::Slow(who, server, delay), 1000..5000),
        52..64 => (What::Cut(who, server), 100..3000),
        64..74 => (What::Silence(who, server), 500..5000),
        74..82 => (What::KillRedis, 300..4000),
        82..90 => (What::FlushRedis, 0..1),
        90..95 => (What::CrashPostgres, 100..2500),
        _ => return rolling_restart(at),
    };
    vec![Fault { at, lasts: Duration::from_millis(dice.u64(lasts_ms)), what, alone: false }]
}

fn rolling_restart(at: Duration) -> Vec<Fault> {
    let everyone = (0..APIS).map(Who::Api).chain((0..WORKERS).map(Who::Worker));
    // One is asked each second, and may need another to finish.
    let (step, lasts) = (Duration::from_secs(1), Duration::from_secs(2));
    (0..)
        .zip(everyone)
        .map(|(n, who)| Fault { at: at + step * n, lasts, what: What::Restart(who), alone: false })
        .collect()
}

impl What {
    /// As the report counts them.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Kill(Who::Api(_)) => "API killed",
            Self::Kill(Who::Worker(_)) => "worker killed",
            Self::Freeze(Who::Api(_)) => "API frozen",
            Self::Freeze(Who::Worker(_)) => "worker frozen",
            Self::Restart(_) => "process restarted in turn",
            Self::Slow(..) => "network slow",
            Self::Cut(..) => "network cut",
            Self::Silence(..) => "network silent",
            Self::KillRedis => "Redis killed",
            Self::FlushRedis => "Redis flushed",
            Self::CrashPostgres => "Postgres crashed",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(who) => write!(f, "kill -9 {who}"),
            Self::Freeze(who) => write!(f, "freeze {who}"),
            Self::Restart(who) => write!(f, "restart {who}"),
            Self::Slow(who, server, delay) => write!(f, "{who} to {server:?} slow by {delay:?}"),
            Self::Cut(who, server) => write!(f, "{who} to {server:?} cut"),
            Self::Silence(who, server) => write!(f, "{who} to {server:?} silent"),
            Self::KillRedis => write!(f, "kill -9 Redis"),
            Self::FlushRedis => write!(f, "flush Redis"),
            Self::CrashPostgres => write!(f, "crash Postgres"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_again_and_another_draws_something_else() {
        let time = Duration::from_mins(2);
        assert_eq!(draw(7, time), draw(7, time));
        assert_ne!(draw(7, time), draw(8, time));
    }

    #[test]
    fn nothing_goes_on_after_the_end_and_a_death_that_is_timed_is_alone() {
        for seed in 0..500 {
            let time = Duration::from_secs(30 + seed % 100);
            let faults = draw(seed, time);
            assert!(faults.iter().all(|fault| fault.at + fault.lasts <= time), "{seed}");
            for alone in faults.iter().filter(|fault| fault.alone) {
                let apart = |other: &Fault| {
                    other == alone || other.at + other.lasts < alone.at || other.at > alone.at + alone.lasts
                };
                assert!(faults.iter().all(apart), "{seed}");
            }
        }
    }
}
