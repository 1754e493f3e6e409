//! Takes the next step of an action on many, until there is none left.

use shared::ops::bulk::BulkStep;
use shared::ops::bulk::step::{self, Stepped};
use shared::queue::LeasedJob;

use crate::context::Context;
use crate::error::{Done, JobResult};

/// A step commits by itself and can be repeated, so the job is not part of its transaction.
pub async fn run(BulkStep { bulk_id }: BulkStep, _job: LeasedJob, ctx: Context) -> JobResult {
    let mut tx = ctx.db.begin().await?;
    let stepped = step::step(&mut tx, bulk_id, ctx.terms.max_attempts).await?;
    tx.commit().await?;
    let (rings, done) = match stepped {
        Stepped::Again(rings) => (rings, Done::Postponed),
        Stepped::Ended(rings) => (rings, Done::NothingToDo),
    };
    ctx.doorbell.ring(rings);
    Ok(done)
}
