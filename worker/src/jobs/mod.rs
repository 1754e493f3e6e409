//! The one list of what this binary can carry out.

pub mod cancel_order;
pub mod process_payment;
pub mod ship_order;
pub mod tick;

use shared::queue::{CancelOrder, DeliverOrder, Job, LeasedJob, Noop, ProcessPayment, ShipOrder, Tick};

use crate::context::Context;
use crate::error::{Done, JobError, JobResult};

/// Each as `kind/version`, as the claim asks for them.
pub fn known() -> Vec<String> {
    fn name<J: Job>() -> String {
        format!("{}/{}", J::KIND, J::VERSION)
    }
    vec![
        name::<ProcessPayment>(),
        name::<CancelOrder>(),
        name::<ShipOrder>(),
        name::<DeliverOrder>(),
        name::<Tick>(),
        name::<Noop>(),
    ]
}

/// Carries a job out. Each step of a handler can be repeated, so a crash anywhere is healed by running it again.
pub async fn carry_out(job: &LeasedJob, ctx: &Context) -> JobResult {
    match job.kind.as_str() {
        ProcessPayment::KIND => process_payment::process_payment(job, ctx).await,
        CancelOrder::KIND => cancel_order::cancel_order(job, ctx).await,
        ShipOrder::KIND => ship_order::ship_order(job, ctx).await,
        DeliverOrder::KIND => ship_order::deliver_order(job, ctx).await,
        Tick::KIND => tick::tick(job, ctx).await,
        Noop::KIND => noop(job).await,
        kind => Err(JobError::Permanent(format!("the kind `{kind}` is claimed but not handled"))),
    }
}

/// What was written must be readable: if it is not, no attempt will be.
pub fn decode<J: Job>(job: &LeasedJob) -> Result<J, JobError> {
    job.decode().map_err(|error| JobError::undecodable(&error))
}

async fn noop(job: &LeasedJob) -> JobResult {
    let Noop { wait_ms } = decode(job)?;
    tracing::debug!("a no-op begins"); // Benchmarks look when.
    if wait_ms > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(wait_ms)).await;
    }
    Ok(Done::NothingToDo)
}
