//! Moves old months of history to the archive.

use shared::archive;
use shared::queue::LeasedJob;
use shared::schedule::Archive;

use crate::context::Context;
use crate::error::JobError;

pub async fn run(_: Archive, _job: LeasedJob, ctx: Context) -> Result<(), JobError> {
    if let Some(dir) = &ctx.archive.dir {
        archive::run(&ctx.db, dir, ctx.archive.after).await?;
    }
    Ok(())
}
