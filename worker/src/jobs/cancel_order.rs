//! Voids or refunds the charge of an order and releases its stock.

use shared::orders::cancel::{self, Undo};
use shared::orders::jobs::CancelOrder;
use shared::queue::{LeasedJob, settle};

use crate::context::Context;
use crate::error::{Done, JobResult};
use crate::provider::ask;

/// If the outcome of a charge is unknown, it voids the charge at the provider. The provider then refuses the charge if it
/// arrives later.
pub async fn run(CancelOrder { order_id }: CancelOrder, job: LeasedJob, ctx: Context) -> JobResult {
    let undo = cancel::start(&mut *ctx.db.acquire().await?, order_id).await?;

    // No connection is held during the call: a slow provider costs us only time.
    let voided = match undo {
        Undo::Nothing => return Ok(Done::NothingToDo),
        Undo::Release => None,
        Undo::Void(charge) => {
            let outcome = ask(&job, "void", ctx.provider.void(charge.id)).await?;
            Some((charge, outcome))
        }
    };

    let mut tx = ctx.db.begin().await?;
    settle::finish(&mut tx, &job).await?;
    cancel::record(&mut tx, order_id, voided.as_ref()).await?;
    tx.commit().await?;
    Ok(Done::Recorded)
}
