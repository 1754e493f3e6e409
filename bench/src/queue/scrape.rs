//! Measures the cost of a scrape of a worker under full load and of an idle worker, beside a `select 1` on the same
//! database at the same moment.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::time::MissedTickBehavior;

use super::{Bench, quantile};

/// A worker caches its gauges for 2 s, or for twenty times as long as the query took. With a longer pause than 2 s each
/// scrape queries the database as often as it can.
const EVERY: Duration = Duration::from_millis(2100);
const SCRAPES: usize = 20;
/// More than a worker can run during the scrapes.
const JOBS: u32 = 500_000;

impl Bench<'_> {
    pub(super) async fn scrape(&mut self) -> Result<()> {
        for (what, jobs) in [("a scrape of a worker under full load", JOBS), ("a scrape of a worker that waits", 0)] {
            self.clear().await?;
            self.write_jobs(jobs, 0).await?;
            sqlx::query("analyze jobs").execute(&self.db).await?;
            let mut worker = self.worker(1, "warn,millrace_worker=info");
            let addr = worker.start().await?;
            let (mut scrapes, mut bare) = self.look(addr).await?;
            worker.kill().await?;
            let left: i64 = sqlx::query_scalar("select count(*) from jobs where kind = 'noop' and state = 'ready'")
                .fetch_one(&self.db)
                .await?;
            ensure!((left > 0) == (jobs > 0), "the worker was not as busy as it should be: {left} jobs are left");
            let [p50, worst] = [0.5, 1.0].map(|share| quantile(&mut scrapes, share));
            let [bare50, bare_worst] = [0.5, 1.0].map(|share| quantile(&mut bare, share));
            self.say(
                what,
                format!("p50 {p50:.1} ms, worst {worst:.1} ms"),
                format!(
                    "`select 1` {bare50:.1}, {bare_worst:.1} ms; ratio {:.1}, {:.1}",
                    p50 / bare50,
                    worst / bare_worst
                ),
                json!({ "scrape_p50_ms": p50, "worst_ms": worst, "bare_p50_ms": bare50, "bare_worst_ms": bare_worst }),
            );
        }
        Ok(())
    }

    /// The latencies of the scrapes in ms, and those of `select 1`.
    async fn look(&self, worker: SocketAddr) -> Result<(Vec<f64>, Vec<f64>)> {
        let (mut scrapes, mut bare) = (Vec::new(), Vec::new());
        // One client for all scrapes, because loading certificates takes longer than a scrape.
        let http = reqwest::Client::new();
        let scrape = async || {
            let answer = http.get(format!("http://{worker}/metrics")).send().await?.error_for_status()?;
            anyhow::Ok(answer.text().await?.contains("millrace_queue_ready"))
        };
        // The first page may lack the gauges.
        self.wait("the worker shows its gauges", &scrape).await?;
        let mut pulse = tokio::time::interval(EVERY);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..SCRAPES {
            pulse.tick().await;
            let asked = Instant::now();
            sqlx::query("select 1").execute(&self.db).await?;
            bare.push(asked.elapsed().as_secs_f64() * 1000.0);
            let asked = Instant::now();
            ensure!(scrape().await?, "the page has no gauges");
            scrapes.push(asked.elapsed().as_secs_f64() * 1000.0);
        }
        Ok((scrapes, bare))
    }
}
