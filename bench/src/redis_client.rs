//! Connections to the measured Redis.

use anyhow::Result;
use redis::aio::MultiplexedConnection;
use servers::redis::Redis;

pub async fn connect(server: &Redis) -> Result<MultiplexedConnection> {
    Ok(redis::Client::open(server.url())?.get_multiplexed_async_connection().await?)
}
