//! What runs by the clock. Every worker's clock fires; each tick writes one job whose unique key is the tick,
//! so the fleet does it once, and a tick that nobody was awake for is made up by the next one.

use std::str::FromStr;
use std::time::Duration;

use apalis::prelude::{Data, Monitor, WorkerBuilder};
use apalis_cron::CronScheduler;
use chrono::DateTime;
use cron::Schedule;
use shared::queue::doorbell::Doorbell;
use shared::queue::{self, Origin, Plan, Tick};
use sqlx::PgPool;

use crate::context::Context;

/// Overdue reservations are given back.
pub const REAP: &str = "reap";
/// The invariants are checked.
pub const AUDIT: &str = "audit";
/// What is too old is removed.
pub const RETAIN: &str = "retain";

const AUDIT_SCHEDULE: &str = "0 */5 * * * *";
/// Not when the reaper begins.
const RETAIN_SCHEDULE: &str = "30 * * * * *";

/// Adds the clocks to the workers that the monitor runs. It must restart them: a clock that was not looked at
/// for longer than its period, as in a process that was frozen, ends with an error.
pub fn register(monitor: Monitor, ctx: &Context, reaper: &Schedule) -> Monitor {
    let fixed = |text| Schedule::from_str(text).expect("it is written above");
    let clocks = [(REAP, reaper.clone()), (AUDIT, fixed(AUDIT_SCHEDULE)), (RETAIN, fixed(RETAIN_SCHEDULE))];
    clocks.into_iter().fold(monitor, |monitor, (name, schedule)| {
        let clock = Clock::new(name, ctx);
        monitor.register(move |_restarts| {
            WorkerBuilder::new(format!("clock-{name}"))
                .backend(CronScheduler::new(schedule.clone()))
                .data(clock.clone())
                .build(fire)
        })
    })
}

/// One of the things that are done by the clock.
#[derive(Clone)]
struct Clock {
    name: &'static str,
    db: PgPool,
    doorbell: Doorbell,
    max_attempts: i32,
}

impl Clock {
    fn new(name: &'static str, ctx: &Context) -> Self {
        Self { name, db: ctx.db.clone(), doorbell: ctx.doorbell.clone(), max_attempts: ctx.terms.max_attempts }
    }

    async fn enqueue(&self, tick: &Tick) -> shared::error::Result<()> {
        let plan = Plan { delay: Duration::ZERO, max_attempts: self.max_attempts, origin: Origin::default() };
        let ring = queue::enqueue(&mut *self.db.acquire().await?, tick, &plan).await?;
        self.doorbell.ring(ring);
        Ok(())
    }
}

/// Never fails: what cannot be written now is written at the next tick, or by another worker.
async fn fire(tick: apalis_cron::Tick, clock: Data<Clock>) {
    let at = i64::try_from(tick.get_timestamp()).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let Some(at) = at else { return };
    let tick = Tick { name: clock.name.to_owned(), at };
    if let Err(error) = clock.enqueue(&tick).await {
        tracing::warn!(%error, tick = tick.name, "a tick could not be written: {error}");
    }
}
