//! Maintains the queue while this process is the leader. Otherwise it tries to become the leader.

use std::time::{Duration, Instant};

use shared::metrics::jobs::JobMetrics;
use shared::queue::maintain::{self, Rules};
use tokio::time::Interval;

use crate::context::Context;
use crate::fleet::interval::every;

/// The pause between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// The pause between two top-ups within a round, while there is a backlog.
const TOP_UP: Duration = Duration::from_millis(50);

pub async fn keep_maintaining(ctx: Context, rules: Rules, metrics: JobMetrics) {
    let mut every = every(ROUND);
    loop {
        every.tick().await;
        if let Err(error) = lead(&ctx, &rules, &metrics, &mut every).await {
            tracing::warn!(%error, "the maintenance of the queue failed: {error}");
        }
    }
}

/// Waits to become the leader, then leads as long as the connection lives that holds the lock.
async fn lead(ctx: &Context, rules: &Rules, metrics: &JobMetrics, every: &mut Interval) -> shared::error::Result<()> {
    // Detached from the pool: otherwise each loss of this connection would make the pool smaller by one.
    let mut conn = ctx.db.acquire().await?.detach();
    while !maintain::lead(&mut conn).await? {
        every.tick().await;
    }
    tracing::info!("this worker maintains the queue");
    let since = Instant::now();
    loop {
        let repaired = maintain::repair(&mut conn, &ctx.doorbell, rules, since.elapsed()).await?;
        metrics.recovered(repaired.reclaimed);
        metrics.buried(repaired.died);
        if repaired.reclaimed + repaired.died > 0 {
            tracing::warn!(reclaimed = repaired.reclaimed, died = repaired.died, "lost jobs were taken back");
        }
        let next_round = Instant::now() + ROUND;
        while maintain::top_up(&mut conn, &ctx.doorbell, rules).await? && Instant::now() < next_round {
            tokio::time::sleep(TOP_UP).await;
        }
        every.tick().await;
    }
}
