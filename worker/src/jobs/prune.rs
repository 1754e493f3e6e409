//! Deletes rows that are too old.

use shared::queue::LeasedJob;
use shared::retention;
use shared::schedule::Prune;

use crate::context::Context;
use crate::error::JobError;

pub async fn run(_: Prune, _job: LeasedJob, ctx: Context) -> Result<(), JobError> {
    Ok(retention::run(&ctx.db).await?)
}
