//! Carries out the scheduled jobs that workers of earlier versions wrote: there, all of them had the kind `tick`. Delete
//! this file and its line once no such worker and no such job is left.

use shared::queue::LeasedJob;
use shared::schedule::{Audit, Prune, Reap, Tick};

use crate::context::Context;
use crate::error::{JobError, JobResult};
use crate::jobs::registry::succeed;
use crate::jobs::{audit, prune, reap};

pub async fn run(Tick { name, at }: Tick, job: LeasedJob, ctx: Context) -> JobResult {
    match name.as_str() {
        "reap" => reap::run(Reap { at }, job.clone(), ctx.clone()).await?,
        "audit" => audit::run(Audit { at }, job.clone(), ctx.clone()).await?,
        "retain" => prune::run(Prune { at }, job.clone(), ctx.clone()).await?,
        unknown => return Err(JobError::Permanent(format!("the schedule has no job with the name `{unknown}`"))),
    }
    succeed(&name, &job, &ctx).await
}
