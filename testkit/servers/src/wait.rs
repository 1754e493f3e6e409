//! Waits until a server is ready, with a limit.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// A debug build on a busy machine, or Postgres after a crash, needs some seconds to start.
pub const TIMEOUT: Duration = Duration::from_mins(1);

/// Polls a condition. The error after the limit names the log.
pub struct Wait<'a> {
    what: &'a str,
    log: &'a Path,
    deadline: Instant,
}

impl<'a> Wait<'a> {
    pub fn for_(what: &'a str, log: &'a Path) -> Self {
        Self { what, log, deadline: Instant::now() + TIMEOUT }
    }

    pub async fn a_moment(&self) -> Result<()> {
        let Self { what, log, deadline } = self;
        ensure!(Instant::now() < *deadline, "timed out after {TIMEOUT:?}: {what}; the log is {}", log.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(())
    }
}
