//! Charges the customer for an order: writes the charge down, calls the provider, records the outcome.

use shared::error::Error;
use shared::orders::jobs::ProcessPayment;
use shared::orders::pay::{self, Start};
use shared::payments::{Opened, Outcome};
use shared::queue::{LeasedJob, settle};
use shared::values::PaymentToken;

use crate::context::Context;
use crate::error::{Done, JobError, JobResult};
use crate::provider::ask;

/// Charges once, however often the job runs.
pub async fn run(ProcessPayment { order_id }: ProcessPayment, job: LeasedJob, ctx: Context) -> JobResult {
    let mut tx = ctx.db.begin().await?;
    let start = pay::start(&mut tx, order_id).await?;
    tx.commit().await?;

    // No connection is held during the call: a slow provider costs us only time.
    let (charge, outcome) = match start {
        Start::Nothing => return Ok(Done::NothingToDo),
        Start::Void(charge) => {
            let outcome = ask(&job, "void", ctx.provider.void(charge.id)).await?;
            (charge, outcome)
        }
        Start::Charge { opened, token, customer_id } => {
            let Some(_place) = ctx.payments.enter(customer_id) else { return Ok(Done::Postponed) };
            let outcome = settle_charge(&job, &ctx, &opened, token.as_ref()).await?;
            (opened.charge, outcome)
        }
    };

    let mut tx = ctx.db.begin().await?;
    settle::finish(&mut tx, &job).await?;
    let ring = pay::record(&mut tx, &charge, &outcome, &ctx.next(&job)).await?;
    tx.commit().await?;
    ctx.doorbell.ring(ring);
    Ok(Done::Recorded)
}

/// Charges, unless an earlier attempt may have charged already: then it first asks the provider for that charge.
async fn settle_charge(
    job: &LeasedJob,
    ctx: &Context,
    opened: &Opened,
    token: Option<&PaymentToken>,
) -> Result<Outcome, JobError> {
    let charge = &opened.charge;
    if opened.asked_before
        && let Some(outcome) = ask(job, "find", ctx.provider.find(charge.id)).await?
    {
        return Ok(outcome);
    }
    let token = token.ok_or(Error::PaymentTokenErased)?;
    ask(job, "charge", ctx.provider.charge(charge.id, charge.amount, token)).await
}
