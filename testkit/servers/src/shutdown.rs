//! Receives the signals that ask this process to stop.

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Once this exists, the signals no longer end the process.
pub struct Asked([Signal; 3]);

impl Asked {
    pub fn listen() -> Result<Self> {
        Ok(Self([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?]))
    }

    /// Returns false for Ctrl-C, and true for SIGTERM or the end of the terminal.
    pub async fn next(&mut self) -> bool {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => false,
            _ = terminate.recv() => true,
            _ = hangup.recv() => true,
        }
    }
}
