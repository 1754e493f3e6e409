//! Voids or refunds the charge of an order and releases its stock.

use shared::orders::cancel::{Undo, Undone};
use shared::orders::jobs::CancelOrder;
use shared::queue::LeasedJob;

use crate::context::Context;
use crate::error::{Done, JobResult};
use crate::provider::ask;

/// If the outcome of a charge is unknown, it voids the charge at the provider. The provider then refuses the charge if it
/// arrives later.
pub async fn run(CancelOrder { order_id }: CancelOrder, job: LeasedJob, ctx: Context) -> JobResult {
    // No connection is held during the call: a slow provider costs us only time.
    let voided = match ctx.steps.start_cancelling(order_id).await? {
        Undo::Nothing => return Ok(Done::NothingToDo),
        Undo::Release => None,
        Undo::Void(charge) => {
            let outcome = ask(&job, "void", ctx.provider.void(charge.id)).await?;
            Some((charge, outcome))
        }
    };
    ctx.steps.record_cancelling(Undone { job, order_id, voided }).await
}
