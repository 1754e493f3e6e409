//! Cancelling: claim, call, record. Each step can be repeated, so a crash anywhere is healed by running the job
//! again.

use shared::orders::cancel::{self, Undo};
use shared::queue::{CancelOrder, LeasedJob, settle};

use crate::context::Context;
use crate::error::{Done, JobError, JobResult};
use crate::jobs::process_payment::ask;

/// Voids or refunds what was charged and gives the stock back. A charge that is still out is closed at the
/// provider, so that it is refused when it arrives.
pub async fn cancel_order(job: &LeasedJob, ctx: &Context) -> JobResult {
    let CancelOrder { order_id } = job.decode().map_err(|error| JobError::undecodable(&error))?;
    let undo = cancel::start(&mut *ctx.db.acquire().await?, order_id).await?;

    // No connection is held here: a slow provider must cost us nothing but time.
    let voided = match undo {
        Undo::Nothing => return Ok(Done::NothingToDo),
        Undo::Release => None,
        Undo::Void(charge) => {
            let outcome = ask(job, "void", ctx.provider.void(charge.id)).await?;
            Some((charge, outcome))
        }
    };

    let mut tx = ctx.db.begin().await?;
    settle::finish(&mut tx, job).await?;
    cancel::record(&mut tx, order_id, voided.as_ref()).await?;
    tx.commit().await?;
    Ok(Done::Recorded)
}
