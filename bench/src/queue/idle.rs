//! Measures the cost of idle workers.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use servers::process::Process;

use super::{Bench, counts, stop_all};
use crate::load::usage;

const WORKERS: u32 = 2;
/// Until connections are open and one worker is the leader of the maintenance.
const SETTLE: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_secs(20);

impl Bench<'_> {
    pub(super) async fn idle(&mut self) -> Result<()> {
        let workers = self.start_workers(WORKERS).await?;
        tokio::time::sleep(SETTLE).await;
        let before = self.spent(&workers).await?;
        tokio::time::sleep(WATCHED).await;
        let after = self.spent(&workers).await?;
        stop_all(workers).await?;
        let [cpu, queries, commands] = [0, 1, 2].map(|what| (after[what] - before[what]) / WATCHED.as_secs_f64());
        self.say(
            format!("{WORKERS} idle workers together, {} s", WATCHED.as_secs()),
            format!("{:.2} % of a core", 100.0 * cpu),
            format!("{queries:.1} queries, {commands:.1} Redis commands a second"),
            json!({ "workers": WORKERS, "cores": cpu, "queries_per_second": queries, "redis_per_second": commands }),
        );
        Ok(())
    }

    /// CPU seconds, statements of Postgres, commands of Redis.
    async fn spent(&self, workers: &[Process]) -> Result<[f64; 3]> {
        let cpu = |worker: &Process| usage::of_threads(worker.pid().context("a worker ended by itself")?);
        let cpu = workers.iter().map(cpu).sum::<Result<f64>>()?;
        Ok([cpu, self.statements().await?, counts::commands(self.redis).await?])
    }
}
