//! Maintains the queue while this process is the leader. Otherwise it tries to become the leader.

use std::time::{Duration, Instant};

use shared::error::Result;
use shared::metrics::jobs::JobMetrics;
use shared::platform::db;
use shared::platform::db::leadership::Candidate;
use shared::queue::maintain::{self, Rules};
use tokio::time::Interval;

use crate::context::Context;
use crate::fleet::interval::every;

/// The pause between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// How long Postgres waits for a leader that is frozen.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pause between two top-ups within a round, while there is a backlog.
const TOP_UP: Duration = Duration::from_millis(50);

pub async fn keep_maintaining(ctx: Context, rules: Rules, metrics: JobMetrics) {
    let candidate = Candidate::new(&ctx.db, maintain::LOCK, PATIENCE);
    let mut every = every(ROUND);
    loop {
        every.tick().await;
        let led = match candidate.lead().await {
            Ok(Some(leadership)) => leadership.during(maintain(&ctx, &rules, &metrics, &mut every)).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = led {
            tracing::warn!(%error, "the maintenance of the queue failed: {error}");
        }
    }
}

async fn maintain(ctx: &Context, rules: &Rules, metrics: &JobMetrics, every: &mut Interval) -> Result<()> {
    tracing::info!("this worker maintains the queue");
    let since = Instant::now();
    let mut conn = db::connect_beside(&ctx.db).await?;
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
