//! Counters of Redis: commands and bytes.

use anyhow::{Context, Result};
use servers::redis::Redis;

use crate::redis_client::connect;

/// All commands since Redis started.
pub async fn commands(redis: &Redis) -> Result<f64> {
    Ok(info(redis, "stats", "total_commands_processed").await?.context("Redis counts its commands")?.parse()?)
}

/// The calls of one command since Redis started.
pub async fn calls(redis: &Redis, command: &str) -> Result<f64> {
    let Some(line) = info(redis, "commandstats", &format!("cmdstat_{command}")).await? else { return Ok(0.0) };
    let calls = line.split(',').find_map(|part| part.strip_prefix("calls="));
    Ok(calls.context("Redis counts calls")?.parse()?)
}

/// The bytes that Redis has received since it started.
pub async fn bytes_in(redis: &Redis) -> Result<f64> {
    Ok(info(redis, "stats", "total_net_input_bytes").await?.context("Redis counts its bytes")?.parse()?)
}

/// The value of a line `name:value` of `INFO`. None if there is no such line, as for a command that was never used.
async fn info(redis: &Redis, section: &str, name: &str) -> Result<Option<String>> {
    let info: String = redis::cmd("INFO").arg(section).query_async(&mut connect(redis).await?).await?;
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.map(str::to_owned))
}
