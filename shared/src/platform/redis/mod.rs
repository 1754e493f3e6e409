//! Redis as caches and rate limits use it: it answers within its time, or it is not asked. Writes no table.
//!
//! The first call that fails closes it for everybody, so that a dead Redis costs the calls that were out when it
//! died and no other: while it is closed every call is `None` at once, and one task tries new connections until
//! one answers for the key that failed. Whoever asks has another way.

pub mod server;

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisResult, ScriptInvocation, cmd};
use secrecy::SecretString;
use tokio::sync::OnceCell;

use server::{Connection, REDIS_TIMEOUT, Server};

/// Between two tries to reach a Redis that was lost.
const PAUSE: Duration = Duration::from_millis(200);

/// A Redis that may be gone at any moment. Cloning it clones a handle.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    server: Server,
    prefix: String,
    begun: OnceCell<()>,
    /// None while it is closed.
    connection: Mutex<Option<Connection>>,
}

impl Redis {
    /// Connects when it is first asked. `prefix` begins every key.
    pub fn open(url: &SecretString, prefix: &str) -> RedisResult<Self> {
        Ok(Self(Arc::new(Inner {
            server: Server::parse(url)?,
            prefix: prefix.to_owned(),
            begun: OnceCell::new(),
            connection: Mutex::default(),
        })))
    }

    /// Several Millraces on one Redis stay apart.
    pub fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.0.prefix)
    }

    /// What a command about this key answers; nothing when Redis is not there.
    pub async fn ask<T: FromRedisValue>(&self, key: &str, command: &Cmd) -> Option<T> {
        let mut connection = self.connection(key).await?;
        self.heard(key, tokio::time::timeout(REDIS_TIMEOUT, command.query_async(&mut connection)).await)
    }

    /// What a script about this key answers, sent whole only where Redis does not know it yet; nothing when Redis is
    /// not there.
    pub async fn run<T: FromRedisValue>(&self, key: &str, script: &ScriptInvocation<'_>) -> Option<T> {
        let mut connection = self.connection(key).await?;
        self.heard(key, tokio::time::timeout(REDIS_TIMEOUT, script.invoke_async(&mut connection)).await)
    }

    async fn connection(&self, key: &str) -> Option<Connection> {
        self.0.begun.get_or_init(|| self.begin(key)).await;
        self.0.connection.lock().expect("nothing panics while it holds this").clone()
    }

    async fn begin(&self, key: &str) {
        match tokio::time::timeout(REDIS_TIMEOUT, self.0.connect(key)).await {
            Ok(Ok(connection)) => self.0.put(connection),
            Ok(Err(error)) => self.close(key, &error.to_string()),
            Err(_elapsed) => self.close(key, "no connection in time"),
        }
    }

    fn heard<T>(&self, key: &str, answer: Result<RedisResult<T>, tokio::time::error::Elapsed>) -> Option<T> {
        let error = match answer {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => format!("no answer within {REDIS_TIMEOUT:?}"),
        };
        if self.0.connection.lock().expect("nothing panics while it holds this").take().is_some() {
            self.close(key, &error);
        }
        None
    }

    fn close(&self, key: &str, error: &str) {
        tracing::warn!(error, "Redis is not asked for now: {error}");
        tokio::spawn(reopen(Arc::downgrade(&self.0), key.to_owned()));
    }
}

impl Inner {
    fn put(&self, connection: Connection) {
        *self.connection.lock().expect("nothing panics while it holds this") = Some(connection);
    }

    /// A new connection that answers for this key: of a cluster other nodes may answer while the key's own is gone.
    async fn connect(&self, key: &str) -> RedisResult<Connection> {
        let mut connection = self.server.connect(REDIS_TIMEOUT).await?;
        cmd("EXISTS").arg(key).exec_async(&mut connection).await?;
        Ok(connection)
    }
}

/// Tries until a new connection answers: the old one may hang for as long as TCP hopes.
async fn reopen(inner: Weak<Inner>, key: String) {
    loop {
        tokio::time::sleep(PAUSE).await;
        let Some(inner) = inner.upgrade() else { return };
        if let Ok(connection) = inner.connect(&key).await {
            inner.put(connection);
            tracing::info!("Redis answers again");
            return;
        }
    }
}
