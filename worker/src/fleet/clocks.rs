//! Writes the jobs that run by the clock. The clock of every worker fires. Each tick writes one job whose unique key names
//! the tick, so the fleet runs it once. If no worker was up at a tick, the next tick makes up for it.

use apalis::prelude::{Data, Monitor, WorkerBuilder};
use apalis_cron::CronScheduler;
use chrono::{DateTime, Utc};
use cron::Schedule;
use shared::queue::Origin;
use shared::queue::Plan;
use shared::schedule::{self, Announcement};
use sqlx::PgPool;

use crate::config::Work;
use crate::context::Context;
use crate::jobs::registry::Clock;

/// Adds the clocks to the workers that the monitor runs. The monitor must restart them: a clock ends with an error when
/// nothing polled it for longer than its period, for example because the process was frozen.
pub fn register(monitor: Monitor, ctx: &Context, work: &Work, clocks: Vec<Clock>) -> Monitor {
    clocks.into_iter().fold(monitor, |monitor, clock| {
        let (schedule, ctx) = ((clock.schedule)(work), ctx.clone());
        monitor.register(move |_restarts| {
            WorkerBuilder::new(format!("clock-{}", clock.kind))
                .backend(CronScheduler::new(schedule.clone()))
                .data(clock)
                .data(schedule.clone())
                .data(ctx.clone())
                .build(fire)
        })
    })
}

/// Writes the job of a tick. It never fails for apalis: if the job cannot be written now, another worker writes it, or
/// the next tick makes up for it.
async fn fire(tick: apalis_cron::Tick, clock: Data<Clock>, schedule: Data<Schedule>, ctx: Data<Context>) {
    let at = i64::try_from(tick.get_timestamp()).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let Some(at) = at else { return };
    let plan =
        Plan { delay: std::time::Duration::ZERO, max_attempts: ctx.terms.max_attempts, origin: Origin::default() };
    match (clock.enqueue)(ctx.db.clone(), at, plan).await {
        Ok(ring) => ctx.doorbell.ring(ring),
        Err(error) => tracing::warn!(%error, tick = clock.kind, "a scheduled job could not be written: {error}"),
    }
    announce(&ctx.db, *clock, &schedule, Some(at)).await;
}

/// Writes down, for staff, what this worker runs by the clock and when next.
pub async fn announce_all(db: PgPool, clocks: Vec<Clock>, schedules: Vec<Schedule>) {
    for (clock, schedule) in clocks.into_iter().zip(schedules) {
        announce(&db, clock, &schedule, None).await;
    }
}

/// A failure is harmless: the next tick writes it again.
async fn announce(db: &PgPool, clock: Clock, schedule: &Schedule, tick: Option<DateTime<Utc>>) {
    // At its tick a clock may be slightly early.
    let Some(next) = schedule.after(&tick.unwrap_or_else(Utc::now)).next() else { return };
    let announcement = Announcement { name: clock.kind, what: clock.what, schedule: schedule.to_string(), tick, next };
    let announced = async { schedule::announce(&mut *db.acquire().await?, &announcement).await };
    if let Err(error) = announced.await {
        tracing::warn!(%error, tick = clock.kind, "a schedule could not be written down: {error}");
    }
}
