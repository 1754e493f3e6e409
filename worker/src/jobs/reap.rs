//! Ends overdue reservations, and gives up orders that nobody tries to charge any more.

use shared::orders::{cancel, reap};
use shared::queue::LeasedJob;
use shared::schedule::Reap;

use crate::context::Context;
use crate::error::JobError;

pub async fn run(_: Reap, job: LeasedJob, ctx: Context) -> Result<(), JobError> {
    let reaped = reap::run(&ctx.db).await?;
    tracing::debug!(reaped.released_reservations, "released {} reservations", reaped.released_reservations);
    ctx.doorbell.ring(cancel::abandoned(&ctx.db, &ctx.next(&job)).await?);
    Ok(())
}
