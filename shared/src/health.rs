//! Health checks: asks Postgres and Redis for `/health`, and asks another process whether it is ready. Writes no table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use sqlx::PgPool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use crate::platform::db;
use crate::queue::doorbell::Doorbell;

/// A server that does not answer within this counts as down.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Longer than `PROBE_TIMEOUT`, because the other process runs its own probe before it answers.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// The pause between two looks at the version of a database that is not migrated yet.
const MIGRATED_YET: Duration = Duration::from_secs(1);

fn newest_migration() -> i64 {
    crate::migrations::MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Asks the process that listens at `addr` whether it is ready. Containers use it as their health check, because the
/// image has no `curl`.
pub async fn ask_process(addr: SocketAddr) -> Result<(), String> {
    let addr = match addr.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => (Ipv4Addr::LOCALHOST, addr.port()).into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => (Ipv6Addr::LOCALHOST, addr.port()).into(),
        _ => addr,
    };
    let status_line = async {
        let mut connection = TcpStream::connect(addr).await?;
        let request = format!("GET /health/ready HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        let mut status_line = [0; "HTTP/1.1 200".len()];
        connection.read_exact(&mut status_line).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&status_line).into_owned())
    };
    match timeout(ASK_TIMEOUT, status_line).await {
        Ok(Ok(line)) if line == "HTTP/1.1 200" => Ok(()),
        Ok(Ok(line)) => Err(format!("the process at {addr} is not ready: {line}")),
        Ok(Err(error)) => Err(format!("the process at {addr} does not answer: {error}")),
        Err(_elapsed) => Err(format!("the process at {addr} did not answer within {ASK_TIMEOUT:?}")),
    }
}

/// The answer of `/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    #[schema(example = "ok")]
    pub db: &'static str,
    /// `ok`, `degraded` (everything works, slower) or `off` (not configured)
    #[schema(example = "ok")]
    pub redis: &'static str,
    /// What is insecure about the settings of this process and of the workers; only staff see it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Vec<String>>,
}

/// How long an answer of a server stays good. Anybody may call `/health`, and probes have no rate limit.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// Asks Postgres and Redis whether they answer, each at most once in `GOOD_FOR`, however many requests ask.
pub struct Probe {
    db: PgPool,
    doorbell: Doorbell,
    db_answer: Recent<bool>,
    redis_answer: Recent<&'static str>,
    migrated: AtomicBool,
}

impl Probe {
    pub fn new(db: PgPool, doorbell: Doorbell) -> Self {
        Self {
            db,
            doorbell,
            db_answer: Recent::default(),
            redis_answer: Recent::default(),
            migrated: AtomicBool::new(false),
        }
    }

    pub async fn ask(&self) -> Health {
        let (db, redis) = tokio::join!(self.database_answers(), self.redis_state());
        Health { db: if db { "ok" } else { "down" }, redis, warnings: None }
    }

    pub async fn database_answers(&self) -> bool {
        let ask = async || {
            let answer = timeout(PROBE_TIMEOUT, sqlx::query!("select 1 as one").fetch_one(&self.db)).await;
            answer.is_ok_and(|answer| answer.is_ok())
        };
        self.db_answer.get(ask).await
    }

    /// Has the database all migrations that this program was built with? It may have later ones: the release before this
    /// one runs on until it is replaced.
    pub async fn is_migrated(&self) -> bool {
        if !self.migrated.load(Ordering::Relaxed) {
            let version = timeout(PROBE_TIMEOUT, db::migrate::version(&self.db)).await;
            let migrated = version.is_ok_and(|version| version.is_ok_and(|version| version >= newest_migration()));
            self.migrated.store(migrated, Ordering::Relaxed);
        }
        self.migrated.load(Ordering::Relaxed)
    }

    /// Waits until the database has all migrations, and says so once.
    pub async fn wait_until_migrated(&self) {
        if self.is_migrated().await {
            return;
        }
        let needed = newest_migration();
        tracing::warn!("waits until the database is there and at version {needed}: run `millrace-api migrate`");
        while !self.is_migrated().await {
            tokio::time::sleep(MIGRATED_YET).await;
        }
        tracing::info!("the database is at version {needed} now");
    }

    /// Asks for the lengths of the queues and does not only ping: in a cluster, the node that holds them may be down while
    /// others answer.
    async fn redis_state(&self) -> &'static str {
        if !self.doorbell.is_configured() {
            return "off";
        }
        let ask = async || match timeout(PROBE_TIMEOUT, self.doorbell.lengths()).await {
            Ok(Some(_)) => "ok",
            _ => "degraded",
        };
        self.redis_answer.get(ask).await
    }
}

/// An answer, and when it was given. One caller asks; callers that come meanwhile wait for its answer.
struct Recent<T>(Mutex<Option<(Instant, T)>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Copy> Recent<T> {
    async fn get(&self, ask: impl AsyncFnOnce() -> T) -> T {
        let mut recent = self.0.lock().await;
        if let Some((_, answer)) = recent.filter(|(given, _)| given.elapsed() < GOOD_FOR) {
            return answer;
        }
        let answer = ask().await;
        *recent = Some((Instant::now(), answer));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_crowd_asks_once_a_second() {
        let (recent, asked) = (Recent::default(), AtomicU32::new(0));
        let ask = async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            asked.fetch_add(1, Ordering::Relaxed) + 1
        };
        let crowd = (0..100).map(|_| recent.get(ask));
        assert_eq!(futures::future::join_all(crowd).await, [1; 100]);
        tokio::time::advance(GOOD_FOR).await;
        assert_eq!(recent.get(ask).await, 2);
    }
}
