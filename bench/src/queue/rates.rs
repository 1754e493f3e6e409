//! How many jobs a second.

use anyhow::Result;
use serde_json::json;

use super::{Bench, stop_all};

const NOOPS: u32 = 50_000;
/// For each worker, so that every fleet works equally long.
const WAITING_JOBS: u32 = 2000;
const WAIT_MS: u32 = 50;
/// A worker's default.
const CONCURRENCY: u32 = 32;

impl Bench<'_> {
    /// By one process, and by as many as there are cores.
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

    /// What is best: every place of every worker always taken.
    pub(super) async fn scaling(&mut self) -> Result<()> {
        let mut alone = None;
        for workers in [1, 2, 4] {
            self.clear().await?;
            self.write_jobs(WAITING_JOBS * workers, WAIT_MS).await?;
            let rate = self.rate_of(workers).await?;
            let best = f64::from(workers * CONCURRENCY) * 1000.0 / f64::from(WAIT_MS);
            let times = rate / *alone.get_or_insert(rate);
            self.say(
                format!("jobs that wait {WAIT_MS} ms, workers of {CONCURRENCY} places: {workers}"),
                format!("{rate:.0} a second"),
                format!("{times:.2} × one worker; {:.0} % of what {workers} can at best", 100.0 * rate / best),
                json!({ "workers": workers, "per_second": rate, "times_one": times, "of_best": rate / best }),
            );
        }
        Ok(())
    }

    /// Runs what is written, and answers the rate of the middle eight tenths by the database's clock: the start
    /// of the first worker and the last few jobs are no part of how fast a busy fleet is.
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
