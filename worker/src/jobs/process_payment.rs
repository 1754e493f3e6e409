//! Charges the customer for an order: writes the charge down, calls the provider, records the outcome.

use shared::error::Error;
use shared::orders::jobs::ProcessPayment;
use shared::orders::pay::{Answered, Start};
use shared::payments::{Opened, Outcome};
use shared::queue::LeasedJob;
use shared::values::PaymentToken;

use crate::context::Context;
use crate::error::{Done, JobError, JobResult};
use crate::provider::ask;

/// Charges once, however often the job runs.
pub async fn run(ProcessPayment { order_id }: ProcessPayment, job: LeasedJob, ctx: Context) -> JobResult {
    // No connection is held during the call: a slow provider costs us only time.
    let (charge, outcome) = match ctx.steps.start_payment(order_id).await? {
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
    let shipping = ctx.next(&job);
    ctx.steps.record_payment(Answered { job, charge, outcome, shipping }).await
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
