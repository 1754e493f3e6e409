//! Makes the parts of history for the next months, and deletes rows that are too old.

use shared::queue::LeasedJob;
use shared::schedule::Prune;
use shared::{months, retention};

use crate::context::Context;
use crate::error::JobError;

pub async fn run(_: Prune, _job: LeasedJob, ctx: Context) -> Result<(), JobError> {
    let made = months::extend(&mut *ctx.db.acquire().await?).await?;
    if made > 0 {
        tracing::info!(made, "made the parts of history for {made} more months");
    }
    Ok(retention::run(&ctx.db).await?)
}
