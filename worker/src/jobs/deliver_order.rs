//! Marks an order as delivered.

use shared::orders::deliver::Arrived;
use shared::orders::jobs::DeliverOrder;
use shared::queue::LeasedJob;

use crate::context::Context;
use crate::error::JobResult;

/// The delay of this job simulates the carrier's transport: when the job runs, the order has arrived.
pub async fn run(DeliverOrder { order_id }: DeliverOrder, job: LeasedJob, ctx: Context) -> JobResult {
    ctx.steps.record_delivery(Arrived { job, order_id }).await
}
