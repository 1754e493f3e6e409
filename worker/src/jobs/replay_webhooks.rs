//! Takes the next step of a replay of webhooks, until there is none left.

use shared::queue::LeasedJob;
use shared::webhooks::jobs::ReplayWebhooks;
use shared::webhooks::replay;

use crate::context::Context;
use crate::error::{Done, JobError, JobResult};

/// A step commits by itself and can be repeated, so the job is not part of its transaction.
pub async fn run(ReplayWebhooks { replay_id }: ReplayWebhooks, job: LeasedJob, ctx: Context) -> JobResult {
    loop {
        if ctx.stopping.is_cancelled() || !job.lease.allows_calls() {
            return Err(JobError::Transient("the worker stops, so another one goes on with the replay".to_owned()));
        }
        let mut tx = ctx.db.begin().await?;
        let step = replay::step(&mut tx, replay_id).await?;
        tx.commit().await?;
        ctx.doorbell.ring(step.rings);
        if step.is_done {
            return Ok(Done::NothingToDo);
        }
    }
}
