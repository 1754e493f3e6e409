//! Ends overdue reservations, and gives up orders that nobody tries to charge any more.

use shared::orders::reap;
use shared::queue::LeasedJob;
use shared::schedule::Reap;

use crate::context::Context;
use crate::error::JobError;

pub async fn run(_: Reap, job: LeasedJob, ctx: Context) -> Result<(), JobError> {
    let (reaped, rings) = reap::reap(&ctx.db, &ctx.next(&job)).await?;
    tracing::debug!(reaped.released_reservations, "released {} reservations", reaped.released_reservations);
    ctx.doorbell.ring(rings);
    Ok(())
}
