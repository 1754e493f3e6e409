//! Other queues beside ours.

use anyhow::Result;

use crate::load::{Settings, System};
use crate::report::Report;

pub async fn measure(_system: &System, _settings: &Settings, _report: &mut Report) -> Result<()> {
    Ok(())
}
