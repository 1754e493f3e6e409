//! The doorbell: tells workers through Redis which jobs are ready, at once and in the order of priority.
//!
//! It keeps one sorted set for each queue: the members are job ids, the scores are the times when they were due. Redis
//! may lose, repeat or reorder ids without harm: the rows in Postgres are the truth, and a claim takes each job once.
//! Without Redis, or while it does not answer, every function here returns quickly and workers ask Postgres.
//!
//! Every new job is rung after its commit, so the doorbell also counts the jobs that this process wrote.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::{IntCounterVec, Opts};
use redis::{RedisResult, cmd, pipe};
use secrecy::SecretString;
use tokio::sync::{Mutex, Semaphore, mpsc};
use uuid::Uuid;

use super::{Queue, Ring};
use crate::platform::redis::server::{Connection, Kept, Server};
use crate::values::JobId;

/// The longest wait of a listener.
const LONGEST_LISTEN: Duration = Duration::from_secs(1);
/// The server answers a waiting listener within this, or the connection is dead.
const LONGEST_ANSWER: Duration = LONGEST_LISTEN.saturating_add(Duration::from_secs(2));
/// Rings that may wait to be sent. The maintenance rings what does not fit.
const WAITING_RINGS: usize = 10_000;
/// A job that is due within this counts as due.
const ON_TIME: Duration = Duration::from_millis(2);
/// Timers for jobs that are due later: at most this far ahead, and at most so many. The maintenance rings the rest.
const FAR_AWAY: Duration = Duration::from_mins(5);
const TIMERS: usize = 10_000;
/// Redis holds the first jobs of a backlog, not all of it. Nothing is added to a longer set; the maintenance tops it up
/// later.
const WINDOW: i64 = 10_000;
/// How often a full set is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Sends rings. Cloning it clones a handle.
#[derive(Clone)]
pub struct Doorbell {
    inner: Option<Arc<Inner>>,
    written: IntCounterVec,
}

struct Inner {
    server: Server,
    keys: Keys,
    rings: mpsc::Sender<Ring>,
    timers: Arc<Semaphore>,
    /// The connection for maintenance and for health checks.
    maintenance: Mutex<Kept>,
}

impl Inner {
    /// Rings when the job is due. If it rang earlier, a worker would take the id, find the job not due, and drop the id.
    fn ring_later(self: Arc<Self>, ring: Ring, wait: Duration) {
        let Ok(permit) = self.timers.clone().try_acquire_owned() else { return };
        if wait > FAR_AWAY {
            return;
        }
        tokio::spawn(async move {
            tokio::time::sleep(wait + ON_TIME).await;
            _ = self.rings.try_send(ring);
            drop(permit);
        });
    }
}

/// The names of the three sets. They share a hash tag, so that a cluster keeps them on one node: `BZMPOP` needs that.
#[derive(Clone)]
struct Keys(String);

impl Keys {
    fn of(&self, queue: Queue) -> String {
        format!("{{{}}}:{}", self.0, queue.name())
    }

    /// With `NX` a second ring for the same job changes nothing.
    fn add<'a>(&self, queue: Queue, rings: impl IntoIterator<Item = &'a Ring>) -> redis::Cmd {
        let mut add = cmd("ZADD");
        add.arg(self.of(queue)).arg("NX");
        for ring in rings {
            add.arg(ring.run_at.timestamp_millis()).arg(ring.id.to_string());
        }
        add
    }
}

impl Doorbell {
    /// Starts the task that sends rings. `prefix` separates several installations on one Redis.
    pub fn new(url: Option<&SecretString>, prefix: &str) -> RedisResult<Self> {
        let opts = Opts::new(
            "millrace_jobs_enqueued_total",
            "Jobs that this process wrote and committed; trying one again does not count",
        );
        let written = IntCounterVec::new(opts, &["kind", "queue"]).expect("these are names that Prometheus allows");
        let Some(url) = url else { return Ok(Self { inner: None, written }) };
        let server = Server::parse(url)?;
        let (rings, waiting) = mpsc::channel(WAITING_RINGS);
        let keys = Keys(prefix.to_owned());
        tokio::spawn(send_rings(Kept::new(server.clone()), keys.clone(), waiting));
        Ok(Self {
            inner: Some(Arc::new(Inner {
                maintenance: Mutex::new(Kept::new(server.clone())),
                server,
                keys,
                rings,
                timers: Arc::new(Semaphore::new(TIMERS)),
            })),
            written,
        })
    }

    /// Tells the workers about these jobs, now or when they are due. It never waits and never fails: the maintenance finds
    /// the jobs that were not rung.
    pub fn ring(&self, rings: impl IntoIterator<Item = Ring>) {
        let now = chrono::Utc::now();
        for ring in rings {
            if let Some(kind) = ring.written {
                self.count_written(kind, ring.queue);
            }
            let Some(inner) = &self.inner else { continue };
            match (ring.run_at - now).to_std() {
                Ok(wait) if wait > ON_TIME => inner.clone().ring_later(ring, wait),
                _ => _ = inner.rings.try_send(ring),
            }
        }
    }

    /// Counts a job that this process has written and committed.
    pub fn count_written(&self, kind: &str, queue: Queue) {
        self.written.with_label_values(&[kind, queue.name()]).inc();
    }

    /// Opens a connection of its own to listen on. None: there is no Redis.
    pub async fn listener(&self) -> RedisResult<Option<Listener>> {
        let Some(inner) = &self.inner else { return Ok(None) };
        let connection = inner.server.connect(LONGEST_ANSWER).await?;
        Ok(Some(Listener { connection, keys: inner.keys.clone() }))
    }

    /// The number of ids in each set. None: Redis does not answer.
    pub async fn lengths(&self) -> Option<HashMap<Queue, i64>> {
        let inner = self.inner.as_ref()?;
        let mut ask = pipe();
        for queue in Queue::ALL {
            ask.cmd("ZCARD").arg(inner.keys.of(queue));
        }
        let lengths: Vec<i64> = inner.maintenance.lock().await.ask(&ask).await.ok()?;
        Some(Queue::ALL.into_iter().zip(lengths).collect())
    }

    /// Rings and waits until Redis has the ids, so that the next `lengths` counts them.
    pub async fn ring_now(&self, queue: Queue, rings: &[Ring]) {
        let Some(inner) = self.inner.as_ref().filter(|_| !rings.is_empty()) else { return };
        let mut ask = pipe();
        ask.add_command(inner.keys.add(queue, rings)).ignore();
        _ = inner.maintenance.lock().await.ask::<()>(&ask).await;
    }

    /// The counter of jobs that this process has written, for `/metrics`.
    pub fn written(&self) -> &IntCounterVec {
        &self.written
    }

    pub fn is_configured(&self) -> bool {
        self.inner.is_some()
    }
}

/// A worker's connection to the doorbell.
pub struct Listener {
    connection: Connection,
    keys: Keys,
}

impl Listener {
    /// Takes up to `count` ids from the first of these queues that has any. Waits for the first id, at most `patience`.
    pub async fn take(
        &mut self,
        queues: &[Queue],
        count: usize,
        patience: Duration,
    ) -> RedisResult<Option<(Queue, Vec<JobId>)>> {
        let mut take = cmd("BZMPOP");
        take.arg(patience.as_secs_f64()).arg(queues.len());
        for queue in queues {
            take.arg(self.keys.of(*queue));
        }
        take.arg("MIN").arg("COUNT").arg(count);
        let taken: Option<(String, Vec<(String, f64)>)> = take.query_async(&mut self.connection).await?;
        let Some((key, members)) = taken else { return Ok(None) };
        let Some(queue) = queues.iter().copied().find(|queue| self.keys.of(*queue) == key) else { return Ok(None) };
        // We only write ids. Anything else in the set is not ours and is dropped.
        let ids = members.into_iter().filter_map(|(id, _)| id.parse::<Uuid>().ok()).map(JobId).collect();
        Ok(Some((queue, ids)))
    }
}

/// Sends all waiting rings in one go, then those that came meanwhile, and so on.
async fn send_rings(connection: Kept, keys: Keys, mut waiting: mpsc::Receiver<Ring>) {
    let mut sender = Sender { connection, keys, seen_full: [None; Queue::ALL.len()] };
    let mut rings = Vec::new();
    while waiting.recv_many(&mut rings, 1000).await > 0 {
        if let Err(error) = sender.send(&rings).await {
            tracing::debug!(%error, rings = rings.len(), "the doorbell is out of order: {error}");
        }
        rings.clear();
    }
}

struct Sender {
    connection: Kept,
    keys: Keys,
    /// For each set that was full: when we last looked at it.
    seen_full: [Option<Instant>; Queue::ALL.len()],
}

impl Sender {
    async fn send(&mut self, rings: &[Ring]) -> RedisResult<()> {
        for (queue, seen_full) in Queue::ALL.into_iter().zip(&mut self.seen_full) {
            let here: Vec<&Ring> = rings.iter().filter(|ring| ring.queue == queue).collect();
            if here.is_empty() || seen_full.is_some_and(|seen| seen.elapsed() < LOOK_AGAIN) {
                continue;
            }
            let mut ask = pipe();
            ask.add_command(self.keys.add(queue, here)).ignore().cmd("ZCARD").arg(self.keys.of(queue));
            let (held,): (i64,) = self.connection.ask(&ask).await?;
            *seen_full = (held > WINDOW).then(Instant::now);
        }
        Ok(())
    }
}
