//! Redis as caches and rate limits use it: it answers within its time, or it is not asked. Writes no table.
//!
//! The first call that fails closes it for everybody, so that a dead Redis costs the calls that were out when it
//! died and no other: while it is closed every call is `None` at once, and one task tries a new connection until
//! one answers. Whoever asks has another way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue, RedisResult, ScriptInvocation, cmd};
use secrecy::{ExposeSecret, SecretString};

use crate::health::REDIS_TIMEOUT;

/// Between two tries to reach a Redis that was lost.
const PAUSE: Duration = Duration::from_millis(200);

/// A Redis that may be gone at any moment. Cloning it clones a handle.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    client: Client,
    prefix: String,
    connection: Mutex<ConnectionManager>,
    closed: AtomicBool,
}

impl Redis {
    /// Connects when it is first asked. `prefix` begins every key.
    pub fn open(url: &SecretString, prefix: &str) -> RedisResult<Self> {
        let client = Client::open(url.expose_secret())?;
        let connection = Mutex::new(ConnectionManager::new_lazy_with_config(client.clone(), config())?);
        Ok(Self(Arc::new(Inner { client, prefix: prefix.to_owned(), connection, closed: AtomicBool::new(false) })))
    }

    /// Several Millraces on one Redis stay apart.
    pub fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.0.prefix)
    }

    /// What a command answers; nothing when Redis is not there.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        let mut connection = self.connection()?;
        self.heard(tokio::time::timeout(REDIS_TIMEOUT, command.query_async(&mut connection)).await)
    }

    /// What a script answers, sent whole only where Redis does not know it yet; nothing when Redis is not there.
    pub async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Option<T> {
        let mut connection = self.connection()?;
        self.heard(tokio::time::timeout(REDIS_TIMEOUT, script.invoke_async(&mut connection)).await)
    }

    fn connection(&self) -> Option<ConnectionManager> {
        if self.0.closed.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.0.connection.lock().expect("nothing panics while it holds this").clone())
    }

    fn heard<T>(&self, answer: Result<RedisResult<T>, tokio::time::error::Elapsed>) -> Option<T> {
        let error = match answer {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => format!("no answer within {REDIS_TIMEOUT:?}"),
        };
        if !self.0.closed.swap(true, Ordering::Relaxed) {
            tracing::warn!(error, "Redis is not asked for now: {error}");
            tokio::spawn(reopen(Arc::downgrade(&self.0)));
        }
        None
    }
}

/// Tries until a new connection answers: the old one may hang for as long as TCP hopes.
async fn reopen(inner: std::sync::Weak<Inner>) {
    loop {
        tokio::time::sleep(PAUSE).await;
        let Some(inner) = inner.upgrade() else { return };
        if let Ok(Ok(connection)) = tokio::time::timeout(REDIS_TIMEOUT, connect(&inner.client)).await {
            *inner.connection.lock().expect("nothing panics while it holds this") = connection;
            inner.closed.store(false, Ordering::Relaxed);
            tracing::info!("Redis answers again");
            return;
        }
    }
}

async fn connect(client: &Client) -> RedisResult<ConnectionManager> {
    let mut connection = ConnectionManager::new_with_config(client.clone(), config()).await?;
    cmd("PING").exec_async(&mut connection).await?;
    Ok(connection)
}

fn config() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(REDIS_TIMEOUT))
        .set_response_timeout(Some(REDIS_TIMEOUT))
}
