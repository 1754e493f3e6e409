//! Redis for caches and rate limits, which can do without it: a circuit breaker around one connection. Writes no table.
//!
//! The first call that fails opens the circuit. Only the calls that were running when Redis died wait for their timeout;
//! until Redis is back, every other call returns `None` at once. One task tries new connections until one answers for the
//! key that failed.

pub mod server;

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisResult, ScriptInvocation, cmd};
use secrecy::SecretString;
use tokio::sync::OnceCell;

use server::{Connection, REDIS_TIMEOUT, Server};

/// Pause between two tries to connect to a Redis that was lost.
const PAUSE: Duration = Duration::from_millis(200);

/// A Redis that may fail at any time. Cloning is cheap.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    server: Server,
    prefix: String,
    first_connect: OnceCell<()>,
    /// None while the circuit is open.
    connection: Mutex<Option<Connection>>,
}

impl Redis {
    /// Connects at the first call. Every key starts with `prefix`.
    pub fn open(url: &SecretString, prefix: &str) -> RedisResult<Self> {
        Ok(Self(Arc::new(Inner {
            server: Server::parse(url)?,
            prefix: prefix.to_owned(),
            first_connect: OnceCell::new(),
            connection: Mutex::default(),
        })))
    }

    /// The full name of a key. The prefix separates several installations of Millrace on one Redis.
    pub fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.0.prefix)
    }

    /// The same with the prefix as hash tag: in a cluster, all such keys are on one node.
    pub fn tagged_key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.0.prefix)
    }

    /// Runs a command about this key; None if Redis is away.
    pub async fn ask<T: FromRedisValue>(&self, key: &str, command: &Cmd) -> Option<T> {
        let mut connection = self.connection(key).await?;
        self.answer_or_open(key, tokio::time::timeout(REDIS_TIMEOUT, command.query_async(&mut connection)).await)
    }

    /// Runs a script about this key; None if Redis is away. The text of the script is sent only if Redis does not have it.
    pub async fn run<T: FromRedisValue>(&self, key: &str, script: &ScriptInvocation<'_>) -> Option<T> {
        let mut connection = self.connection(key).await?;
        self.answer_or_open(key, tokio::time::timeout(REDIS_TIMEOUT, script.invoke_async(&mut connection)).await)
    }

    async fn connection(&self, key: &str) -> Option<Connection> {
        self.0.first_connect.get_or_init(|| self.connect(key)).await;
        self.0.connection.lock().expect("no code panics while it holds this lock").clone()
    }

    async fn connect(&self, key: &str) {
        match tokio::time::timeout(REDIS_TIMEOUT, self.0.connect(key)).await {
            Ok(Ok(connection)) => self.0.put(connection),
            Ok(Err(error)) => self.reconnect(key, &error.to_string()),
            Err(_elapsed) => self.reconnect(key, "no connection in time"),
        }
    }

    fn answer_or_open<T>(&self, key: &str, answer: Result<RedisResult<T>, tokio::time::error::Elapsed>) -> Option<T> {
        let error = match answer {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => format!("no answer within {REDIS_TIMEOUT:?}"),
        };
        if self.0.connection.lock().expect("no code panics while it holds this lock").take().is_some() {
            self.reconnect(key, &error);
        }
        None
    }

    fn reconnect(&self, key: &str, error: &str) {
        tracing::warn!(error, "Redis is not used until it answers again: {error}");
        tokio::spawn(reopen(Arc::downgrade(&self.0), key.to_owned()));
    }
}

impl Inner {
    fn put(&self, connection: Connection) {
        *self.connection.lock().expect("no code panics while it holds this lock") = Some(connection);
    }

    /// A new connection that answers for this key. In a cluster, other nodes may answer while the node of the key is gone.
    async fn connect(&self, key: &str) -> RedisResult<Connection> {
        let mut connection = self.server.connect(REDIS_TIMEOUT).await?;
        cmd("EXISTS").arg(key).exec_async(&mut connection).await?;
        Ok(connection)
    }
}

/// Tries until a new connection answers. The old one is not used again: it may hang until TCP gives up.
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
