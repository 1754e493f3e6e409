//! Checks the invariants.

use shared::audit;
use shared::queue::LeasedJob;
use shared::schedule::Audit;

use crate::context::Context;
use crate::error::JobError;

pub async fn run(_: Audit, _job: LeasedJob, ctx: Context) -> Result<(), JobError> {
    // The audit logs and stores its own report.
    drop(audit::run(&mut *ctx.db.acquire().await?).await?);
    Ok(())
}
