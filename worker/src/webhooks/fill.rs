//! Writes deliveries for new events of the feed, and repairs shards that have no job. Every worker tries; a lock in the
//! database lets one do it at a time.

use std::time::{Duration, Instant};

use shared::queue::Ring;
use shared::webhooks::{fill, sweep};

use crate::context::Context;
use crate::fleet::interval::every;

/// How often we look for news.
const LOOK: Duration = Duration::from_millis(100);
/// How often we look for shards without a job.
const SWEEP: Duration = Duration::from_secs(5);

pub async fn keep_filling(ctx: Context) {
    let mut every = every(LOOK);
    let mut swept = Instant::now();
    loop {
        every.tick().await;
        while match fill_once(&ctx).await {
            Ok(is_full) => is_full,
            Err(error) => {
                tracing::warn!(%error, "deliveries of webhooks could not be written: {error}");
                false
            }
        } {}
        if swept.elapsed() >= SWEEP {
            swept = Instant::now();
            match sweep_once(&ctx).await {
                Ok(rings) => ctx.doorbell.ring(rings),
                Err(error) => tracing::warn!(%error, "webhooks could not be swept: {error}"),
            }
        }
    }
}

/// True: there is more.
async fn fill_once(ctx: &Context) -> shared::error::Result<bool> {
    if !fill::is_behind(&mut *ctx.db.acquire().await?).await? {
        return Ok(false);
    }
    let mut tx = ctx.db.begin().await?;
    let filled = fill::fill(&mut tx).await?;
    tx.commit().await?;
    ctx.doorbell.ring(filled.rings);
    Ok(filled.is_full)
}

async fn sweep_once(ctx: &Context) -> shared::error::Result<Vec<Ring>> {
    let mut tx = ctx.db.begin().await?;
    let rings = sweep::sweep(&mut tx).await?;
    tx.commit().await?;
    Ok(rings)
}
