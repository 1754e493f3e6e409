//! The doorbell: tells workers at once, and in the order of priority, which jobs are ready.
//!
//! Three sorted sets, the member a job's id and the score when it was due. It may lose, repeat or reorder
//! what it is told, and nothing is wrong: the rows are the truth, and a claim takes each job once. With no
//! Redis, or while it is away, everything here answers "I do not know" quickly.
//!
//! Since every job is rung for after its commit, this is also where jobs are counted.

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

/// No listener waits longer than this.
const LONGEST_LISTEN: Duration = Duration::from_secs(1);
/// The server answers a listener by then at the latest; longer means that it is gone.
const LONGEST_ANSWER: Duration = LONGEST_LISTEN.saturating_add(Duration::from_secs(2));
/// Rings that wait to be sent. More are left to the sweep.
const WAITING_RINGS: usize = 10_000;
/// Closer to its time than this a job counts as due.
const ON_TIME: Duration = Duration::from_millis(2);
/// A job that is due later than this, or one timer too many, is left to the sweep.
const FAR_AWAY: Duration = Duration::from_mins(5);
const TIMERS: usize = 10_000;
/// Redis holds a window, not a mirror: a longer set is not added to, the sweep tops it up later.
const WINDOW: i64 = 10_000;
/// While a set is full, it is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Where rings are sent. Cloning it clones a handle.
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
    /// For the one who sweeps, and for those who ask how we are.
    steward: Mutex<Kept>,
}

impl Inner {
    /// Rung early it would be taken, found not due, and dropped.
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

/// The names of the three sets. One hash tag keeps them on one node of a cluster, as commands about several need it.
#[derive(Clone)]
struct Keys(String);

impl Keys {
    fn of(&self, queue: Queue) -> String {
        format!("{{{}}}:{}", self.0, queue.name())
    }

    /// Ringing twice is ringing once.
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
    /// Starts the task that sends what is rung. `prefix` keeps several Millraces on one Redis apart.
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
                steward: Mutex::new(Kept::new(server.clone())),
                server,
                keys,
                rings,
                timers: Arc::new(Semaphore::new(TIMERS)),
            })),
            written,
        })
    }

    /// Tells the workers, soon, or when the job is due. Never waits and never fails: what is not told the
    /// sweep finds.
    pub fn ring(&self, rings: impl IntoIterator<Item = Ring>) {
        let now = chrono::Utc::now();
        for ring in rings {
            if let Some(kind) = ring.written {
                self.written.with_label_values(&[kind, ring.queue.name()]).inc();
            }
            let Some(inner) = &self.inner else { continue };
            match (ring.run_at - now).to_std() {
                Ok(wait) if wait > ON_TIME => inner.clone().ring_later(ring, wait),
                _ => _ = inner.rings.try_send(ring),
            }
        }
    }

    /// A connection of its own to listen on; none without Redis.
    pub async fn listener(&self) -> RedisResult<Option<Listener>> {
        let Some(inner) = &self.inner else { return Ok(None) };
        let connection = inner.server.connect(LONGEST_ANSWER).await?;
        Ok(Some(Listener { connection, keys: inner.keys.clone() }))
    }

    /// How many ids each set holds; none when Redis does not say.
    pub async fn lengths(&self) -> Option<HashMap<Queue, i64>> {
        let inner = self.inner.as_ref()?;
        let mut ask = pipe();
        for queue in Queue::ALL {
            ask.cmd("ZCARD").arg(inner.keys.of(queue));
        }
        let lengths: Vec<i64> = inner.steward.lock().await.ask(&ask).await.ok()?;
        Some(Queue::ALL.into_iter().zip(lengths).collect())
    }

    /// Rings these and waits until Redis has them, so that whoever counts the sets next sees them.
    pub async fn ring_now(&self, queue: Queue, rings: &[Ring]) {
        let Some(inner) = self.inner.as_ref().filter(|_| !rings.is_empty()) else { return };
        let mut ask = pipe();
        ask.add_command(inner.keys.add(queue, rings)).ignore();
        _ = inner.steward.lock().await.ask::<()>(&ask).await;
    }

    /// How many jobs this process has written, for the scraper.
    pub fn written(&self) -> &IntCounterVec {
        &self.written
    }

    pub fn is_configured(&self) -> bool {
        self.inner.is_some()
    }
}

/// One worker's ear.
pub struct Listener {
    connection: Connection,
    keys: Keys,
}

impl Listener {
    /// Up to `count` ids out of the first of these queues that has any; waits for the first one, but no longer
    /// than `patience`.
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
        // A member that is no id is nothing of ours.
        let ids = members.into_iter().filter_map(|(id, _)| id.parse::<Uuid>().ok()).map(JobId).collect();
        Ok(Some((queue, ids)))
    }
}

/// Sends what has gathered, all of it at once, then what has gathered meanwhile.
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
    /// When each set was last looked at, if it was full.
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
