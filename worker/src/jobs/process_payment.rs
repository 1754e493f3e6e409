//! Charging: claim, call, record. Each step can be repeated, so a crash anywhere is healed by running the job
//! again.

use std::time::Duration;

use shared::orders::pay::{self, Start};
use shared::payments::{Opened, Outcome, ProviderError};
use shared::queue::{LeasedJob, ProcessPayment, settle};
use tracing::{Instrument, info_span};

use crate::context::Context;
use crate::error::{Done, JobError, JobResult};

/// Past this the provider's answer is unknown, whatever its client believes. The client of a real one gives up
/// much sooner; the slowest script of the simulated one takes 30 s, while the lease is renewed.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);

/// Charges the customer for an order, once however often it runs.
pub async fn process_payment(job: &LeasedJob, ctx: &Context) -> JobResult {
    let ProcessPayment { order_id } = job.decode().map_err(|error| JobError::undecodable(&error))?;
    let mut tx = ctx.db.begin().await?;
    let start = pay::start(&mut tx, order_id).await?;
    tx.commit().await?;

    // No connection is held here: a slow provider must cost us nothing but time.
    let (charge, outcome) = match start {
        Start::Nothing => return Ok(Done::NothingToDo),
        Start::Void(charge) => {
            let outcome = ask(job, "void", ctx.provider.void(charge.id)).await?;
            (charge, outcome)
        }
        Start::Charge { opened, token } => {
            let outcome = settle_charge(job, ctx, &opened, &token).await?;
            (opened.charge, outcome)
        }
    };

    let mut tx = ctx.db.begin().await?;
    settle::finish(&mut tx, job).await?;
    let ring = pay::record(&mut tx, &charge, &outcome, &ctx.next(job)).await?;
    tx.commit().await?;
    ctx.doorbell.ring(ring);
    Ok(Done::Recorded)
}

/// Finds before it charges, where an earlier attempt may have charged.
async fn settle_charge(job: &LeasedJob, ctx: &Context, opened: &Opened, token: &str) -> Result<Outcome, JobError> {
    let charge = &opened.charge;
    if opened.asked_before
        && let Some(outcome) = ask(job, "find", ctx.provider.find(charge.id)).await?
    {
        return Ok(outcome);
    }
    ask(job, "charge", ctx.provider.charge(charge.id, charge.amount, token)).await
}

/// Calls the provider, if the job is surely still ours.
pub(crate) async fn ask<T>(
    job: &LeasedJob,
    verb: &'static str,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, JobError> {
    if !job.lease.allows_calls() {
        return Err(JobError::Transient("the lease could not be renewed, so the provider was not called".to_owned()));
    }
    let call =
        call.instrument(info_span!("provider", otel.name = verb, otel.kind = "client", peer = "payment provider"));
    let answer = tokio::time::timeout(ANSWER_WITHIN, call).await.unwrap_or(Err(ProviderError::Unknown));
    answer.map_err(|error| JobError::Transient(error.to_string()))
}
