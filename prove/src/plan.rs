//! The plan of a run: which fault happens when. All of it is drawn from the seed before the run begins, so the same
//! seed gives the same plan.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use crate::cluster::{APIS, LEASE, ProcessRef, RESERVATION_TTL, Server, WORKERS};

/// Time without faults at the beginning.
const QUIET_START: Duration = Duration::from_secs(2);
/// Pause between the beginnings of two faults, in milliseconds. Most faults last longer, so two or three overlap.
const PAUSE_MS: std::ops::Range<u64> = 300..2200;
/// Once a minute a worker is killed while nothing else is broken, and its recovery is timed. No other fault happens for
/// this long.
const TIMED_EVERY: Duration = Duration::from_mins(1);
const TIMED_FOR: Duration = Duration::from_secs(LEASE.as_secs() + 3);
/// Every few minutes Postgres is away for longer than an order's stock is reserved and a worker may be silent. The first
/// time is soon enough for a run of two minutes.
const LONG_OUTAGE_FIRST: Duration = Duration::from_secs(75);
const LONG_OUTAGE_EVERY: Duration = Duration::from_mins(4);
const LONG_OUTAGE: Duration = Duration::from_secs(RESERVATION_TTL.as_secs() + 2);
/// Time for the system to recover from earlier faults before a recovery is timed.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// `kill -9`. The process is started again at the end of the fault.
    Kill(ProcessRef),
    /// SIGSTOP, and SIGCONT at the end of the fault.
    Freeze(ProcessRef),
    /// SIGTERM. The process is started again as soon as it has ended.
    Restart(ProcessRef),
    /// Faults of the network between a process and a server.
    Slow(ProcessRef, Server, Duration),
    Cut(ProcessRef, Server),
    Silence(ProcessRef, Server),
    /// `kill -9`. Redis is started again with its append-only file.
    KillRedis,
    FlushRedis,
    /// An `immediate` shutdown. The next start has to recover.
    CrashPostgres,
    /// The same for longer than an order's stock is reserved.
    LongOutage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub at: Duration,
    pub lasts: Duration,
    pub what: FaultKind,
    /// No other fault happens during this one, and the recovery is timed.
    pub alone: bool,
}

/// Draws the faults of a run of this length.
pub fn draw(seed: u64, time: Duration) -> Vec<Fault> {
    let mut rng = Rng::with_seed(seed);
    let mut faults: Vec<Fault> = Vec::new();
    let (mut at, mut alone_at, mut outage_at) = (QUIET_START, time / 4, LONG_OUTAGE_FIRST);
    while at < time {
        if at >= outage_at {
            faults.push(Fault { at, lasts: LONG_OUTAGE, what: FaultKind::LongOutage, alone: false });
            outage_at += LONG_OUTAGE_EVERY;
        }
        if at >= alone_at {
            let healed = faults.iter().map(|fault| fault.at + fault.lasts).max().unwrap_or_default().max(at);
            let what = FaultKind::Kill(ProcessRef::Worker(rng.usize(..WORKERS)));
            let fault = Fault { at: healed + SETTLE, lasts: TIMED_FOR, what, alone: true };
            (at, alone_at) = (fault.at + fault.lasts + SETTLE, alone_at + TIMED_EVERY);
            faults.push(fault);
            continue;
        }
        faults.extend(next(&mut rng, at));
        at += Duration::from_millis(rng.u64(PAUSE_MS));
    }
    faults.retain(|fault| fault.at + fault.lasts <= time);
    faults
}

/// Draws one fault, or a rolling restart of all processes.
fn next(rng: &mut Rng, at: Duration) -> Vec<Fault> {
    let who = match rng.usize(..APIS + WORKERS) {
        api if api < APIS => ProcessRef::Api(api),
        worker => ProcessRef::Worker(worker - APIS),
    };
    let server = if rng.bool() { Server::Postgres } else { Server::Redis };
    let delay = Duration::from_millis(rng.u64(20..250));
    let (what, lasts_ms) = match rng.u32(..100) {
        0..22 => (FaultKind::Kill(who), 100..3000),
        // Often longer than the lease.
        22..40 => (FaultKind::Freeze(who), 500..6000),
        40..52 => (FaultKind::Slow(who, server, delay), 1000..5000),
        52..64 => (FaultKind::Cut(who, server), 100..3000),
        64..74 => (FaultKind::Silence(who, server), 500..5000),
        74..82 => (FaultKind::KillRedis, 300..4000),
        82..90 => (FaultKind::FlushRedis, 0..1),
        90..95 => (FaultKind::CrashPostgres, 100..2500),
        _ => return rolling_restart(at),
    };
    vec![Fault { at, lasts: Duration::from_millis(rng.u64(lasts_ms)), what, alone: false }]
}

fn rolling_restart(at: Duration) -> Vec<Fault> {
    let everyone = (0..APIS).map(ProcessRef::Api).chain((0..WORKERS).map(ProcessRef::Worker));
    // One process a second is asked to stop. It may need another second to finish its work.
    let (step, lasts) = (Duration::from_secs(1), Duration::from_secs(2));
    (0..)
        .zip(everyone)
        .map(|(n, who)| Fault { at: at + step * n, lasts, what: FaultKind::Restart(who), alone: false })
        .collect()
}

impl FaultKind {
    /// The name of this kind of fault in the report.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Kill(ProcessRef::Api(_)) => "API killed",
            Self::Kill(ProcessRef::Worker(_)) => "worker killed",
            Self::Freeze(ProcessRef::Api(_)) => "API frozen",
            Self::Freeze(ProcessRef::Worker(_)) => "worker frozen",
            Self::Restart(_) => "process restarted in turn",
            Self::Slow(..) => "network slow",
            Self::Cut(..) => "network cut",
            Self::Silence(..) => "network silent",
            Self::KillRedis => "Redis killed",
            Self::FlushRedis => "Redis flushed",
            Self::CrashPostgres => "Postgres crashed",
            Self::LongOutage => "Postgres away for longer than stock is reserved",
        }
    }
}

impl fmt::Display for FaultKind {
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
            Self::LongOutage => write!(f, "crash Postgres for {} s", LONG_OUTAGE.as_secs()),
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
