//! Waits and changes nothing: for benchmarks and drills.

use std::time::Duration;

use shared::queue::{LeasedJob, Noop};

use crate::context::Context;
use crate::error::{Done, JobResult};

pub async fn run(Noop { wait_ms }: Noop, _job: LeasedJob, _ctx: Context) -> JobResult {
    // A benchmark looks for this target to see when a job begins.
    tracing::debug!(target: "worker::jobs", "a no-op begins");
    if wait_ms > 0 {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    }
    Ok(Done::NothingToDo)
}
