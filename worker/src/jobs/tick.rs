//! What the clock asks for. A tick is a job like any other: once over the whole fleet, tried again when it
//! fails, and alive when its worker is not.

use shared::orders::reap;
use shared::queue::{LeasedJob, Tick, settle};
use shared::{audit, retention, schedule};

use crate::context::Context;
use crate::error::{Done, JobError, JobResult};
use crate::fleet::clocks::{AUDIT, REAP, RETAIN};
use crate::jobs::decode;

pub async fn tick(job: &LeasedJob, ctx: &Context) -> JobResult {
    let Tick { name, .. } = decode(job)?;
    match name.as_str() {
        REAP => {
            let (reaped, rings) = reap::reap(&ctx.db, &ctx.next(job)).await?;
            tracing::debug!(reaped.released_reservations, "released {} reservations", reaped.released_reservations);
            ctx.doorbell.ring(rings);
        }
        // What it finds it logs and shows itself.
        AUDIT => drop(audit::run(&ctx.db).await?),
        RETAIN => retention::run(&ctx.db).await?,
        unknown => return Err(JobError::Permanent(format!("nothing called `{unknown}` runs by the clock"))),
    }
    let mut tx = ctx.db.begin().await?;
    settle::finish(&mut tx, job).await?;
    schedule::succeeded(&mut tx, &name).await?;
    tx.commit().await?;
    Ok(Done::Recorded)
}
