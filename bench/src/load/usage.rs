//! CPU time and memory of processes, from Linux's `/proc`.

use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

/// The kernel reports CPU time in units of 10 ms on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub memory_mib: f64,
}

/// CPU seconds of the current threads of a process. The scheduler counts them in nanoseconds, which is precise enough
/// for an idle process.
pub fn of_threads(pid: u32) -> Result<f64> {
    let mut nanoseconds = 0.0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("this needs Linux's /proc")? {
        let spent = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanoseconds += spent.split(' ').next().context("it begins with the time")?.parse::<f64>()?;
    }
    Ok(nanoseconds / 1e9)
}

/// One process with all its threads.
pub fn of(pid: u32) -> Result<Usage> {
    let stat = Stat::read(pid)?;
    Ok(Usage { cpu_seconds: stat.own, memory_mib: memory(pid, "Rss:")? })
}

/// A process and its children, such as Postgres. Pages that several of them share are counted once.
pub fn of_tree(pid: u32) -> Result<Usage> {
    let root = Stat::read(pid)?;
    let mut sum = Usage { cpu_seconds: root.own + root.of_ended_children, memory_mib: memory(pid, "Pss:")? };
    for entry in fs::read_dir("/proc")? {
        let Some(child) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A child may end at any moment. Then its time is in the parent's count.
        let (Ok(stat), Ok(memory)) = (Stat::read(child), memory(child, "Pss:")) else { continue };
        if stat.parent == pid {
            sum.cpu_seconds += stat.own;
            sum.memory_mib += memory;
        }
    }
    Ok(sum)
}

struct Stat {
    parent: u32,
    own: f64,
    of_ended_children: f64,
}

impl Stat {
    fn read(pid: u32) -> Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
        // The name stands in parentheses and may contain anything. The fields after it are numbers, from the third on.
        let (_, rest) = text.rsplit_once(')').context("a stat has a name")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok());
        let seconds = |field: usize| ticks(field).map(|ticks| ticks / TICKS_PER_SECOND).context("a stat has ticks");
        Ok(Self {
            parent: fields.get(1).and_then(|text| text.parse().ok()).context("a stat has a parent")?,
            own: seconds(14)? + seconds(15)?,
            of_ended_children: seconds(16)? + seconds(17)?,
        })
    }
}

fn memory(pid: u32, what: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).with_context(|| format!("process {pid}"))?;
    let line = text.lines().find(|line| line.starts_with(what)).context("a process has memory")?;
    let kib: f64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).context("it is a number")?;
    Ok(kib / 1024.0)
}
