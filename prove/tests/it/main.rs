//! Whole systems of real processes and servers, broken on purpose.

mod failover;
mod killed;
#[cfg(target_os = "linux")] // Elsewhere several servers are refused.
mod promoted;
mod prove;

use std::path::Path;

/// Where the binaries are: all are built into one folder.
fn bins() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_millrace-prove")).parent().expect("it is in a folder")
}
