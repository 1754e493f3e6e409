//! Books the carrier for each shipment of an order and ships its stock.

use shared::orders::jobs::ShipOrder;
use shared::orders::ship::Booked;
use shared::queue::LeasedJob;
use shared::shipping::Shipment;
use tracing::{Instrument, info_span};

use crate::context::Context;
use crate::error::{Done, JobError, JobResult};

pub async fn run(ShipOrder { order_id }: ShipOrder, job: LeasedJob, ctx: Context) -> JobResult {
    let opened = ctx.steps.start_shipping(order_id).await?;
    if opened.is_empty() {
        return Ok(Done::NothingToDo); // The order was shipped or cancelled meanwhile.
    }
    // No connection is held during the calls: a slow carrier costs us only time.
    let mut shipments = Vec::with_capacity(opened.len());
    for shipment in opened {
        shipments.push(book(&job, &ctx, shipment).await?);
    }
    let delivery = job.plan(ctx.terms.delivery_delay, ctx.terms.max_attempts);
    ctx.steps.record_shipping(Booked { job, order_id, shipments, delivery }).await
}

/// Calls the carrier, unless the lease of the job may have expired.
async fn book(job: &LeasedJob, ctx: &Context, shipment: Shipment) -> Result<Shipment, JobError> {
    if !job.lease.allows_calls() {
        return Err(JobError::Transient("the lease could not be renewed, so the carrier was not called".to_owned()));
    }
    let span = info_span!("carrier", otel.name = "book", otel.kind = "client", peer = "carrier");
    let number =
        ctx.carrier.book(shipment.id).instrument(span).await.map_err(|error| JobError::Transient(error.to_string()))?;
    Ok(Shipment { tracking_number: Some(number), ..shipment })
}
