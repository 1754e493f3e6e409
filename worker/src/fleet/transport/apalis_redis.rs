//! The transport `QUEUE_TRANSPORT=apalis-redis`: the ids of ready jobs travel through apalis's own `RedisStorage`. It works
//! with Redis 6.2, where the doorbell needs 7. Nothing else differs: the worker claims the ids in Postgres, and ids that
//! Redis loses are pushed again.
//!
//! Workers push the ids of due jobs, so the API need not know about this transport. The API goes on ringing the doorbell.
//! Nobody reads its sets then, and they stop growing at their window.
//!
//! A cluster does not work: `RedisStorage` keeps one key without our prefix and hash tag, `core:apalis:queues:list`. The
//! worker refuses to start with one.

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
use tokio::time::Interval;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::fleet::interval::every;
use crate::fleet::transport::received::Received;

/// How often one worker of the fleet pushes the ids of due jobs.
const PUSH: Duration = Duration::from_millis(100);
/// When Redis has fewer ids than this, a page is added. At about 8,000 ids the fetch script of `RedisStorage` fails for
/// ever.
const LOW_WATER: usize = 1000;
const PAGE: i64 = 1000;
/// How often an empty Redis is asked again. By itself `RedisStorage` asks at each heartbeat.
const LOOK: Duration = Duration::from_millis(50);
/// How long an id waits for a free slot. Then it is dropped; the job is still due, so its id is pushed again. The
/// heartbeat waits meanwhile, so this must be short.
const PATIENCE: Duration = Duration::from_secs(1);
/// After ten missed heartbeats the ids of a lost worker return to the queue.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Any error of Redis ends an apalis worker. It is started again after this.
const REST: Duration = Duration::from_secs(1);
/// The longest wait for an answer: the fetch script moves a window of ids at once.
const ANSWER: Duration = Duration::from_secs(1);
/// After so long without any id, Postgres is asked, even if Redis seems to work.
const SILENCE: Duration = Duration::from_secs(1);

/// The connection settings of this transport.
#[derive(Clone)]
pub struct RedisStorageTransport {
    server: Server,
    prefix: String,
}

impl RedisStorageTransport {
    pub fn new(url: &SecretString, prefix: &str) -> RedisResult<Self> {
        Ok(Self { server: Server::parse(url)?, prefix: prefix.to_owned() })
    }

    /// Starts the pusher, and an apalis worker for each queue. They run until `stop` is cancelled.
    pub fn subscribe(
        &self,
        db: PgPool,
        claimer: &Claimer,
        queues: &[Queue],
        size: usize,
        stop: &CancellationToken,
    ) -> RedisStorageSubscription {
        let received = Queue::ALL.map(|queue| {
            let (ids, received) = mpsc::channel(size);
            if queues.contains(&queue) {
                tokio::spawn(keep_receiving(self.clone(), queue, ids, stop.clone()));
            }
            received
        });
        let works = Arc::new(AtomicBool::new(true));
        let pusher = Pusher {
            db,
            kinds: claimer.kinds.clone(),
            gate: format!("{{{}}}:apalis:pusher", self.prefix),
            transport: self.clone(),
            connection: None,
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(pusher.keep_pushing(works.clone())));
        RedisStorageSubscription { received, works, silent_since: Instant::now() }
    }

    fn storage(&self, queue: Queue, connection: Connection) -> RedisStorage<Uuid, Connection> {
        RedisStorage::new(connection).with_config(
            Config::default()
                .queue(format!("{{{}}}:apalis:{}", self.prefix, queue.name()))
                .batch_size(1) // It may hand out buffered ids twice.
                .lock_tasks(false) // Locking gets slower with the length of the queue.
                .emit_events(false)
                .heartbeat_interval(HEARTBEAT),
        )
    }
}

/// The ids that this worker's apalis workers have received, for each queue.
pub struct RedisStorageSubscription {
    received: [mpsc::Receiver<JobId>; Queue::ALL.len()],
    works: Arc<AtomicBool>,
    silent_since: Instant,
}

impl RedisStorageSubscription {
    pub fn works(&self) -> bool {
        self.works.load(Ordering::Relaxed)
    }

    pub async fn receive(&mut self, queues: &[Queue], count: usize, patience: Duration) -> Received {
        if !self.works() {
            return Received::Unavailable;
        }
        let mut ids = Vec::new();
        let first = poll_fn(|cx| {
            for queue in queues {
                if matches!(self.received[*queue as usize].poll_recv_many(cx, &mut ids, count), Poll::Ready(1..)) {
                    return Poll::Ready(*queue);
                }
            }
            Poll::Pending
        });
        if let Ok(queue) = tokio::time::timeout(patience, first).await {
            self.silent_since = Instant::now();
            return Received::Ids(queue, ids);
        }
        if self.silent_since.elapsed() < SILENCE {
            return Received::Nothing;
        }
        self.silent_since = Instant::now();
        Received::Unavailable
    }
}

/// Runs an apalis worker, and a new one on a new connection after it has ended. We do not use `Monitor`, which restarts
/// without a pause: thousands of times while Redis is away.
async fn keep_receiving(
    transport: RedisStorageTransport,
    queue: Queue,
    ids: mpsc::Sender<JobId>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        if let Err(error) = receive_until(&transport, queue, &ids, &stop).await {
            tracing::debug!(%error, queue = queue.name(), "an apalis-redis worker ended and is started again: {error}");
        }
        stop.run_until_cancelled(tokio::time::sleep(REST)).await;
    }
}

async fn receive_until(
    transport: &RedisStorageTransport,
    queue: Queue,
    ids: &mpsc::Sender<JobId>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let storage = transport.storage(queue, transport.server.connect(ANSWER).await?);
    // The name is new each time: apalis refuses a name for a while after its use.
    let worker = WorkerBuilder::new(format!("millrace-{}-{}", queue.name(), Uuid::now_v7()))
        .backend(storage.poll_with_strategy(EachTick(every(LOOK))))
        .concurrency(1)
        .data(ids.clone())
        .build(pass_on);
    let stopped = stop.clone().cancelled_owned().map(Ok::<_, WorkerError>);
    Ok(worker.run_until(stopped).await?)
}

/// Passes an id to the fetcher. For apalis the task always succeeds: the end of the job is written in Postgres, and we push
/// its id again for a retry.
async fn pass_on(id: Uuid, ids: Data<mpsc::Sender<JobId>>) {
    _ = ids.send_timeout(JobId(id), PATIENCE).await;
}

/// Wakes the worker at each tick. apalis's own interval is not polled again after it has fired, so it never wakes a worker
/// that was busy at that moment.
struct EachTick(Interval);

impl PollStrategy for EachTick {
    fn poll_drive(&mut self, cx: &mut TaskContext<'_>, _snapshot: &PollSnapshot) -> Poll<Option<()>> {
        while self.0.poll_tick(cx).is_ready() {}
        Poll::Pending
    }
}

/// Keeps Redis filled with the ids of the jobs that are due first.
struct Pusher {
    db: PgPool,
    kinds: Vec<String>,
    gate: String,
    transport: RedisStorageTransport,
    connection: Option<Connection>,
}

impl Pusher {
    async fn keep_pushing(mut self, works: Arc<AtomicBool>) {
        let mut every = every(PUSH);
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

    /// The first worker in each period pushes for the whole fleet. Two at the same time do no harm: Redis does not add an
    /// id twice.
    async fn push(&mut self) -> anyhow::Result<()> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.transport.server.connect(ANSWER).await?),
        };
        let mut turn = cmd("SET");
        turn.arg(&self.gate).arg(1).arg("NX").arg("PX").arg(PUSH.as_millis().to_string());
        let mine: Option<String> = turn.query_async(connection).await?;
        if mine.is_none() {
            return Ok(());
        }
        for queue in Queue::ALL {
            let mut storage = self.transport.storage(queue, connection.clone());
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
                Err(error) => tracing::warn!(%error, "due jobs could not be read: {error}"),
            }
        }
        Ok(())
    }
}

/// Removes the ids that were passed on, so that they can be pushed again, and returns how many ids Redis still has.
/// apalis's own vacuum does not shrink its set of done tasks.
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
