//! Whole systems of real processes and servers, with faults.

mod failover;
mod killed;
mod patroni;
mod pooler;
mod promoted;
mod prove;
mod shop;
mod shops;

use std::path::Path;

/// The folder of the binaries. All are built into one folder.
fn bins() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_millrace-prove")).parent().expect("the program is in a folder")
}
