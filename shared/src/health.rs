//! Are the servers that this process needs there? Writes no table.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sqlx::PgPool;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use utoipa::ToSchema;

/// A probe that waits longer than this has its answer: no.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Every call to Redis but the blocking one is this short; its loss costs latency only.
pub const REDIS_TIMEOUT: Duration = Duration::from_millis(250);

/// What `/health` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    #[schema(example = "ok")]
    pub db: &'static str,
    /// `ok`, `degraded` (everything works, slower) or `off` (not configured)
    #[schema(example = "ok")]
    pub redis: &'static str,
}

/// Asks both servers.
pub struct Probe {
    db: PgPool,
    redis: Option<Redis>,
}

struct Redis {
    client: redis::Client,
    connection: OnceCell<redis::aio::ConnectionManager>,
}

impl Probe {
    pub fn new(db: PgPool, redis: Option<&SecretString>) -> redis::RedisResult<Self> {
        let redis = redis.map(|url| redis::Client::open(url.expose_secret())).transpose()?;
        Ok(Self { db, redis: redis.map(|client| Redis { client, connection: OnceCell::new() }) })
    }

    pub async fn ask(&self) -> Health {
        let (db, redis) = tokio::join!(self.database_answers(), self.redis_state());
        Health { db: if db { "ok" } else { "down" }, redis }
    }

    pub async fn database_answers(&self) -> bool {
        timeout(PROBE_TIMEOUT, sqlx::query!("select 1 as one").fetch_one(&self.db))
            .await
            .is_ok_and(|answer| answer.is_ok())
    }

    async fn redis_state(&self) -> &'static str {
        let Some(redis) = &self.redis else { return "off" };
        match timeout(PROBE_TIMEOUT, redis.answers()).await {
            Ok(Ok(())) => "ok",
            _ => "degraded",
        }
    }
}

impl Redis {
    async fn answers(&self) -> redis::RedisResult<()> {
        let config = redis::aio::ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(REDIS_TIMEOUT))
            .set_response_timeout(Some(REDIS_TIMEOUT));
        let connection = self
            .connection
            .get_or_try_init(|| redis::aio::ConnectionManager::new_with_config(self.client.clone(), config))
            .await?;
        redis::cmd("PING").exec_async(&mut connection.clone()).await
    }
}
