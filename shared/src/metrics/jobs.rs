//! What this process did with jobs: attempts by their outcome, how long they ran, how long they waited. Writes no table.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use prometheus::{HistogramVec, IntCounter, IntCounterVec, Registry, histogram_opts};

use crate::history::{Counters, RAN_BUCKETS, WAITED_BUCKETS};
use crate::platform::metrics::{counter, counters, registered};
use crate::queue::LeasedJob;

/// How an attempt ended: the values of the label `outcome`.
pub mod outcome {
    pub const DONE: &str = "done";
    /// It failed and will be retried.
    pub const RETRIED: &str = "retried";
    /// It failed permanently, or its attempts are used up.
    pub const DEAD: &str = "dead";
    /// It may not run yet; the attempt does not count.
    pub const POSTPONED: &str = "postponed";
    /// Its lease had expired and another attempt had started.
    pub const LEASE_LOST: &str = "lease_lost";
    /// Its outcome could not be written to the database.
    pub const UNSETTLED: &str = "unsettled";
}

/// Counters and histograms about jobs. Cloning is cheap.
#[derive(Clone)]
pub struct JobMetrics {
    processed: IntCounterVec,
    retried: IntCounter,
    dead: IntCounter,
    recovered: IntCounter,
    durations: HistogramVec,
    waits: HistogramVec,
    /// The same for the history in the database.
    counted: Arc<Counters>,
}

impl JobMetrics {
    pub fn new(registry: &Registry, counted: Arc<Counters>) -> prometheus::Result<Self> {
        let durations =
            histogram_opts!("millrace_job_duration_seconds", "Time that an attempt ran", RAN_BUCKETS.to_vec());
        let waits = histogram_opts!(
            "millrace_job_wait_seconds",
            "Time from when a job was due to when a worker claimed it",
            WAITED_BUCKETS.to_vec()
        );
        Ok(Self {
            processed: counters(
                registry,
                "millrace_jobs_processed_total",
                "Attempts that ended, by their outcome",
                &["kind", "queue", "outcome"],
            )?,
            retried: counter(registry, "millrace_jobs_retried_total", "Attempts that failed and will be retried")?,
            dead: counter(registry, "millrace_jobs_dead_total", "Jobs that were moved to dead and wait for a person")?,
            recovered: counter(
                registry,
                "millrace_jobs_recovered_total",
                "Jobs whose lease expired and that were made ready again",
            )?,
            durations: registered(registry, HistogramVec::new(durations, &["kind"])?)?,
            waits: registered(registry, HistogramVec::new(waits, &["queue"])?)?,
            counted,
        })
    }

    /// Call this when a job was claimed. Returns how long it has waited, which is zero at least: our clock may be behind that
    /// of Postgres.
    pub fn claimed(&self, job: &LeasedJob) -> Duration {
        let wait = (Utc::now() - job.run_at).to_std().unwrap_or_default();
        self.waits.with_label_values(&[job.queue.name()]).observe(wait.as_secs_f64());
        wait
    }

    /// Call this when an attempt has ended; `outcome` is a constant of the module `outcome`.
    pub fn ended(&self, job: &LeasedJob, outcome: &'static str, waited: Duration, elapsed: Duration) {
        self.counted.attempt(job, outcome, waited, elapsed);
        self.processed.with_label_values(&[job.kind.as_str(), job.queue.name(), outcome]).inc();
        self.durations.with_label_values(&[job.kind.as_str()]).observe(elapsed.as_secs_f64());
        match outcome {
            outcome::RETRIED => self.retried.inc(),
            outcome::DEAD => self.dead.inc(),
            _ => {}
        }
    }

    /// Call this when jobs whose lease had expired were made ready again.
    pub fn recovered(&self, jobs: usize) {
        self.recovered.inc_by(jobs as u64);
    }

    /// Call this when jobs were moved to `dead` without an attempt that ended in this process.
    pub fn buried(&self, jobs: usize) {
        self.dead.inc_by(jobs as u64);
    }
}
