//! Marks an order as delivered.

use shared::orders::deliver::Arrived;
use shared::orders::jobs::DeliverOrder;
use shared::queue::LeasedJob;

use crate::context::Context;
use crate::error::JobResult;
use crate::fleet::batch::Recording;

/// The delay of this job simulates the carrier's transport: when the job runs, the order has arrived.
pub async fn run(DeliverOrder { order_id }: DeliverOrder, job: LeasedJob, ctx: Context) -> JobResult {
    ctx.recorder.record(Recording::Arrived(Arrived { job, order_id })).await
}
