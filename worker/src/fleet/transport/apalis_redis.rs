//! The other transport, `QUEUE_TRANSPORT=apalis-redis`: the ids of ready jobs travel through apalis's stock
//! `RedisStorage`, which works with Redis 6.2 where the doorbell needs 7. Nothing else differs: what is heard
//! is claimed in Postgres and carried out like everything else, and what Redis forgets is pushed again.
//!
//! Workers push what is due, so the API need not know of this: it rings the doorbell's sets as ever, which
//! nobody reads then and which stop growing at their window. A cluster is not for this transport, and is refused when a
//! worker starts: `RedisStorage` keeps one key outside of our prefix and our hash tag, `core:apalis:queues:list`.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use ::apalis_redis::{Config, RedisStorage};
use apalis::layers::WorkerBuilderExt;
use apalis::prelude::{Data, TaskSink, WorkerBuilder};
use apalis_core::backend::ext::BackendExt;
use apalis_core::backend::ext::poll_strategy::{PollSnapshot, PollStrategy};
use apalis_core::error::WorkerError;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use futures::{FutureExt, stream};
use redis::{RedisResult, cmd, pipe};
use secrecy::SecretString;
use shared::platform::redis::server::{Connection, Server};
use shared::queue::Queue;
use shared::queue::claim::{self, Claimer};
use shared::values::JobId;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often what is due is pushed, by one worker of the fleet.
const PUSH: Duration = Duration::from_millis(100);
/// Fewer ids than this in Redis are topped up by a page. Its fetch script fails for ever at about 8,000.
const LOW_WATER: usize = 1000;
const PAGE: i64 = 1000;
/// How often Redis is looked at when it had nothing; by itself `RedisStorage` looks at each heartbeat.
const LOOK: Duration = Duration::from_millis(50);
/// An id that the taker has no use for within this is let go: it is still due, so it is pushed again. Nor does
/// the heartbeat wait longer than this.
const PATIENCE: Duration = Duration::from_secs(1);
/// What a lost worker had in its hands goes back after ten of these.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Any error of Redis ends an apalis worker; it is started again after this.
const REST: Duration = Duration::from_secs(1);
/// The fetch script moves a window of ids at once.
const ANSWER: Duration = Duration::from_secs(1);
/// Heard nothing for so long: Postgres is asked, whatever Redis says.
const SILENCE: Duration = Duration::from_secs(1);

/// Where the ids travel.
#[derive(Clone)]
pub struct RedisStorageTransport {
    server: Server,
    prefix: String,
}

impl RedisStorageTransport {
    pub fn new(url: &SecretString, prefix: &str) -> RedisResult<Self> {
        Ok(Self { server: Server::parse(url)?, prefix: prefix.to_owned() })
    }

    /// Starts what pushes, and an apalis worker for each queue, until the fleet stops.
    pub fn listen(
        &self,
        db: PgPool,
        claimer: &Claimer,
        queues: &[Queue],
        size: usize,
        stop: &CancellationToken,
    ) -> Hearing {
        let heard = Queue::ALL.map(|queue| {
            let (ids, heard) = mpsc::channel(size);
            if queues.contains(&queue) {
                tokio::spawn(keep_hearing(self.clone(), queue, ids, stop.clone()));
            }
            heard
        });
        let works = Arc::new(AtomicBool::new(true));
        let pusher = Pusher {
            db,
            kinds: claimer.kinds.clone(),
            gate: format!("{{{}}}:apalis:pusher", self.prefix),
            stock: self.clone(),
            connection: None,
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(pusher.keep_pushing(works.clone())));
        Hearing { heard, works, silent_since: Instant::now() }
    }

    fn storage(&self, queue: Queue, connection: Connection) -> RedisStorage<Uuid, Connection> {
        RedisStorage::new(connection).with_config(
            Config::default()
                .queue(format!("{{{}}}:apalis:{}", self.prefix, queue.name()))
                .batch_size(1) // What it buffers it may hand out twice.
                .lock_tasks(false) // It costs more, the longer the queue is.
                .emit_events(false)
                .heartbeat_interval(HEARTBEAT),
        )
    }
}

/// One worker's ear.
pub struct Hearing {
    heard: [mpsc::Receiver<JobId>; 3],
    works: Arc<AtomicBool>,
    silent_since: Instant,
}

/// What there is to hear.
pub enum News {
    Ids(Queue, Vec<JobId>),
    Nothing,
    /// Postgres is to be asked.
    Silence,
}

impl Hearing {
    pub fn works(&self) -> bool {
        self.works.load(Ordering::Relaxed)
    }

    /// Up to `count` ids out of the first of these queues that has any; waits for the first one, but no longer
    /// than `patience`.
    pub async fn take(&mut self, queues: &[Queue], count: usize, patience: Duration) -> News {
        if !self.works() {
            return News::Silence;
        }
        let mut ids = Vec::new();
        let first = poll_fn(|cx| {
            for queue in queues {
                if matches!(self.heard[*queue as usize].poll_recv_many(cx, &mut ids, count), Poll::Ready(1..)) {
                    return Poll::Ready(*queue);
                }
            }
            Poll::Pending
        });
        if let Ok(queue) = tokio::time::timeout(patience, first).await {
            self.silent_since = Instant::now();
            return News::Ids(queue, ids);
        }
        if self.silent_since.elapsed() < SILENCE {
            return News::Nothing;
        }
        self.silent_since = Instant::now();
        News::Silence
    }
}

/// Runs an apalis worker, and another one on a new connection when it has ended. `Monitor` would do so at once,
/// thousands of times while Redis is away.
async fn keep_hearing(stock: RedisStorageTransport, queue: Queue, ids: mpsc::Sender<JobId>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = hear_until(&stock, queue, &ids, &stop).await {
            tracing::debug!(%error, queue = queue.name(), "an apalis-redis worker ended and is started again: {error}");
        }
        stop.run_until_cancelled(tokio::time::sleep(REST)).await;
    }
}

async fn hear_until(
    stock: &RedisStorageTransport,
    queue: Queue,
    ids: &mpsc::Sender<JobId>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let storage = stock.storage(queue, stock.server.connect(ANSWER).await?);
    // A name that was in use is refused for a while.
    let worker = WorkerBuilder::new(format!("millrace-{}-{}", queue.name(), Uuid::now_v7()))
        .backend(storage.poll_with_strategy(Every::new(LOOK)))
        .concurrency(1)
        .data(ids.clone())
        .build(hear);
    let stopped = stop.clone().cancelled_owned().map(Ok::<_, WorkerError>);
    Ok(worker.run_until(stopped).await?)
}

/// Always well for apalis: how the job ends is written in Postgres, and a retry is pushed by us.
async fn hear(id: Uuid, ids: Data<mpsc::Sender<JobId>>) {
    _ = ids.send_timeout(JobId(id), PATIENCE).await;
}

/// Wakes the worker at each tick. apalis's own interval is not polled again once it has fired, so a worker that
/// was busy at that moment is never woken.
struct Every(Interval);

impl Every {
    fn new(period: Duration) -> Self {
        let mut every = tokio::time::interval(period);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(every)
    }
}

impl PollStrategy for Every {
    fn poll_drive(&mut self, cx: &mut TaskContext<'_>, _snapshot: &PollSnapshot) -> Poll<Option<()>> {
        while self.0.poll_tick(cx).is_ready() {}
        Poll::Pending
    }
}

/// Keeps Redis filled with the first ids that are due.
struct Pusher {
    db: PgPool,
    kinds: Vec<String>,
    gate: String,
    stock: RedisStorageTransport,
    connection: Option<Connection>,
}

impl Pusher {
    async fn keep_pushing(mut self, works: Arc<AtomicBool>) {
        let mut every = tokio::time::interval(PUSH);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let pushed = self.push().await;
            if pushed.is_err() {
                self.connection = None;
            }
            if works.swap(pushed.is_ok(), Ordering::Relaxed) == pushed.is_ok() {
                continue;
            }
            match pushed {
                Ok(()) => tracing::info!("apalis-redis works again"),
                Err(error) => tracing::warn!(%error, "apalis-redis is out of order, asking Postgres instead: {error}"),
            }
        }
    }

    /// Whoever comes first in a while pushes for everybody. Two at a time would do no harm: an id that Redis
    /// knows is not added again.
    async fn push(&mut self) -> anyhow::Result<()> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.stock.server.connect(ANSWER).await?),
        };
        let mut turn = cmd("SET");
        turn.arg(&self.gate).arg(1).arg("NX").arg("PX").arg(PUSH.as_millis().to_string());
        let mine: Option<String> = turn.query_async(connection).await?;
        if mine.is_none() {
            return Ok(());
        }
        for queue in Queue::ALL {
            let mut storage = self.stock.storage(queue, connection.clone());
            let known = forget_done(connection, storage.get_config()).await?;
            if known >= LOW_WATER {
                continue;
            }
            let due = async {
                let mut conn = self.db.acquire().await?;
                claim::due(&mut conn, queue, &self.kinds, PAGE).await
            };
            match due.await {
                Ok(due) if due.is_empty() => {}
                Ok(due) => {
                    let task =
                        |id: JobId| TaskBuilder::new(id.0).task_id(TaskId::from_string(id.0.to_string())).build();
                    storage.push_all(stream::iter(due.into_iter().map(task))).await?;
                }
                Err(error) => tracing::warn!(%error, "what is due could not be read: {error}"),
            }
        }
        Ok(())
    }
}

/// Removes what was handed over, so that it can be pushed again if it is due again, and answers how many ids
/// Redis still knows. apalis's own vacuum leaves the set of those that are done.
async fn forget_done(connection: &mut Connection, config: &Config) -> RedisResult<usize> {
    let done: Vec<String> =
        cmd("SRANDMEMBER").arg(config.done_jobs_set()).arg(LOW_WATER).query_async(connection).await?;
    let mut forget = pipe();
    forget.atomic();
    if !done.is_empty() {
        let meta: Vec<String> = done.iter().map(|id| format!("{}:{id}", config.job_meta_hash())).collect();
        forget.cmd("HDEL").arg(config.job_data_hash()).arg(&done).ignore();
        forget.cmd("DEL").arg(meta).ignore();
        forget.cmd("SREM").arg(config.done_jobs_set()).arg(&done).ignore();
    }
    let (known,): (usize,) = forget.cmd("HLEN").arg(config.job_data_hash()).query_async(connection).await?;
    Ok(known)
}
