//! Measures jobs a second.

use anyhow::Result;
use serde_json::json;

use super::{Bench, stop_all};

const NOOPS: u32 = 50_000;
/// Jobs for each worker, so that every number of workers runs equally long.
const WAITING_JOBS: u32 = 2000;
const WAIT_MS: u32 = 50;
/// The default concurrency of a worker.
const CONCURRENCY: u32 = 32;

impl Bench<'_> {
    /// With one process, and with one for each core.
    pub(super) async fn rate(&mut self) -> Result<()> {
        let cores = u32::try_from(std::thread::available_parallelism()?.get())?;
        let mut alone = None;
        for processes in [1, cores] {
            self.clear().await?;
            self.write_jobs(NOOPS, 0).await?;
            let before = self.statements().await?;
            let rate = self.rate_of(processes).await?;
            let statements = (self.statements().await? - before) / f64::from(NOOPS);
            let times = rate / *alone.get_or_insert(rate);
            self.say(
                format!("{NOOPS} no-op jobs, worker processes: {processes}"),
                format!("{rate:.0} a second"),
                format!("{times:.2} × one; {statements:.3} statements a job"),
                json!({ "processes": processes, "per_second": rate, "times_one": times, "statements_per_job": statements }),
            );
        }
        Ok(())
    }

    /// The best possible rate is that of workers whose slots are always full.
    pub(super) async fn scaling(&mut self) -> Result<()> {
        let mut alone = None;
        for workers in [1, 2, 4] {
            self.clear().await?;
            self.write_jobs(WAITING_JOBS * workers, WAIT_MS).await?;
            let rate = self.rate_of(workers).await?;
            let best = f64::from(workers * CONCURRENCY) * 1000.0 / f64::from(WAIT_MS);
            let times = rate / *alone.get_or_insert(rate);
            self.say(
                format!("jobs that wait {WAIT_MS} ms, workers with {CONCURRENCY} slots: {workers}"),
                format!("{rate:.0} a second"),
                format!("{times:.2} × one worker; {:.0} % of the best possible rate", 100.0 * rate / best),
                json!({ "workers": workers, "per_second": rate, "times_one": times, "of_best": rate / best }),
            );
        }
        Ok(())
    }

    /// Runs the written jobs. Returns the rate of the middle 80 % by the database's clock, without the start of the
    /// first worker and the last few jobs.
    async fn rate_of(&self, workers: u32) -> Result<f64> {
        let workers = self.start_workers(workers).await?;
        self.wait_for_rest(0).await?;
        stop_all(workers).await?;
        Ok(sqlx::query_scalar(
            "select 0.8 * count(*) / extract(epoch from
                        percentile_disc(0.9) within group (order by finished_at)
                      - percentile_disc(0.1) within group (order by finished_at))::float8
               from jobs where kind = 'noop'",
        )
        .fetch_one(&self.db)
        .await?)
    }
}
