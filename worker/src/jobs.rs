//! The one list of what this binary can carry out.

use shared::jobs::{CancelOrder, DeliverOrder, Held, Job, Noop, ProcessPayment, ShipOrder, Tick};

use crate::clockwork;
use crate::context::Context;
use crate::error::{Done, JobError, JobResult};
use crate::{orders, payments, shipping};

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
pub async fn carry_out(job: &Held, ctx: &Context) -> JobResult {
    match job.kind.as_str() {
        ProcessPayment::KIND => payments::process_payment(job, ctx).await,
        CancelOrder::KIND => orders::cancel_order(job, ctx).await,
        ShipOrder::KIND => shipping::ship_order(job, ctx).await,
        DeliverOrder::KIND => shipping::deliver_order(job, ctx).await,
        Tick::KIND => clockwork::tick(job, ctx).await,
        Noop::KIND => noop(job).await,
        kind => Err(JobError::Permanent(format!("the kind `{kind}` is claimed but not handled"))),
    }
}

/// What was written must be readable: if it is not, no attempt will be.
pub fn decode<J: Job>(job: &Held) -> Result<J, JobError> {
    job.decode().map_err(|error| JobError::undecodable(&error))
}

async fn noop(job: &Held) -> JobResult {
    let Noop { wait_ms } = decode(job)?;
    tracing::debug!("a no-op begins"); // Benchmarks look when.
    if wait_ms > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(wait_ms)).await;
    }
    Ok(Done::NothingToDo)
}
