//! Shipping and delivery: claim, call, record. Each step can be repeated, so a crash anywhere is healed by
//! running the job again.

use shared::orders::deliver::Arrived;
use shared::orders::ship::{self, Booked};
use shared::queue::{DeliverOrder, LeasedJob, ShipOrder};
use shared::shipping::Shipment;
use tracing::{Instrument, info_span};

use crate::context::Context;
use crate::error::{Done, JobError, JobResult};
use crate::fleet::batch::Recording;
use crate::jobs::decode;

/// Books the carrier for each shipment of an order, and lets its stock leave.
pub async fn ship_order(job: &LeasedJob, ctx: &Context) -> JobResult {
    let ShipOrder { order_id } = decode(job)?;
    let opened = ship::start(&mut *ctx.db.acquire().await?, order_id).await?;
    if opened.is_empty() {
        return Ok(Done::NothingToDo); // Shipped already, or no longer wanted.
    }
    // No connection is held here: a slow carrier must cost us nothing but time.
    let mut shipments = Vec::with_capacity(opened.len());
    for shipment in opened {
        shipments.push(book(job, ctx, shipment).await?);
    }
    let delivery = job.plan(ctx.terms.delivery_delay, ctx.terms.max_attempts);
    ctx.recorder.record(Recording::Booked(Booked { job: job.clone(), order_id, shipments, delivery })).await
}

async fn book(job: &LeasedJob, ctx: &Context, shipment: Shipment) -> Result<Shipment, JobError> {
    if !job.lease.allows_calls() {
        return Err(JobError::Transient("the lease could not be renewed, so the carrier was not called".to_owned()));
    }
    let span = info_span!("carrier", otel.name = "book", otel.kind = "client", peer = "carrier");
    let number =
        ctx.carrier.book(shipment.id).instrument(span).await.map_err(|error| JobError::Transient(error.to_string()))?;
    Ok(Shipment { tracking_number: Some(number), ..shipment })
}

/// The delay of this job is the simulated carrier's way to the buyer: when it runs, the order has arrived.
pub async fn deliver_order(job: &LeasedJob, ctx: &Context) -> JobResult {
    let DeliverOrder { order_id } = decode(job)?;
    ctx.recorder.record(Recording::Arrived(Arrived { job: job.clone(), order_id })).await
}
