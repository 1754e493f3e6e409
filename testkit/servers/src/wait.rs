//! Waits for a server to be ready, up to a limit.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// A debug build on a busy machine, or Postgres after a crash, takes some seconds to start.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Polls a condition, and names the log when it does not come true in time.
pub struct Wait<'a> {
    what: &'a str,
    log: &'a Path,
    deadline: Instant,
}

impl<'a> Wait<'a> {
    pub fn for_(what: &'a str, log: &'a Path) -> Self {
        Self { what, log, deadline: Instant::now() + PATIENCE }
    }

    pub async fn a_moment(&self) -> Result<()> {
        let Self { what, log, deadline } = self;
        ensure!(Instant::now() < *deadline, "{what}: not within {PATIENCE:?}; the log is {}", log.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(())
    }
}
