//! Runs a worker: fetches jobs, carries them out, renews their leases, sends heartbeats, and stops gracefully.

pub mod backend;
pub mod clocks;
pub mod fetch;
pub mod heartbeat;
pub mod history;
pub mod interval;
pub mod leases;
pub mod maintain;
pub mod sequence;
pub mod settle;
pub mod slots;
pub mod transport;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use apalis::layers::catch_panic::CatchPanicLayer;
use apalis::prelude::{Data, Monitor, WorkerBuilder};
use apalis_core::error::BoxDynError;
use apalis_core::worker::ext::parallelize::ParallelizeExt;
use shared::platform::insecure;
use shared::queue::claim::Claimer;
use shared::queue::maintain::Rules;
use shared::queue::{Queue, WorkerId};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::Vitals;
use crate::config::Work;
use crate::context::Context;
use crate::error::Done;
use crate::fleet::backend::ClaimedJobs;
use crate::fleet::fetch::{Fetcher, hand_back};
use crate::fleet::settle::{SettleLayer, Settler};
use crate::fleet::slots::{ClaimedJob, Slots};
use crate::fleet::transport::Subscription;
use crate::fleet::transport::doorbell::DoorbellSubscription;
use crate::jobs;
use crate::jobs::registry::Registry;
use crate::steps::{OwnSlots, Steps};
use crate::webhooks;

/// When the worker stops, running jobs may take so long to finish. Then it hands the rest back.
pub const GRACE: Duration = Duration::from_secs(20);

/// Runs jobs until the process is asked to stop, and finishes those that are running.
pub async fn run(ctx: Context, work: &Work, vitals: &Vitals) -> anyhow::Result<()> {
    let migrated = vitals.probe.wait_until_migrated();
    if vitals.stopping.run_until_cancelled(migrated).await.is_none() {
        return Ok(());
    }
    let worker = Worker::new(Context { stopping: vitals.stopping.clone(), ..ctx }, work);
    let _side_tasks = worker.start_side_tasks(work, vitals);
    let fetching =
        tokio::spawn(worker.fetcher().run(worker.subscription(work, &vitals.stopping), vitals.stopping.clone()));
    tracing::info!(
        worker_id = %worker.claimer.worker.0, concurrency = work.worker_concurrency, "the worker takes jobs"
    );
    worker
        .monitor(work, vitals)
        .shutdown_timeout(GRACE)
        // The fetcher ends when the worker is asked to stop. Then no further job begins.
        .run_with_signal(async {
            let ended = fetching.await;
            worker.hand_back_unbegun().await;
            ended.map_err(std::io::Error::other)
        })
        .await?;
    worker.wind_down().await;
    history::write(&worker.ctx.db, &vitals.metrics.counted).await;
    Ok(())
}

struct Worker {
    ctx: Context,
    registry: Arc<Registry>,
    claimer: Claimer,
    queues: Vec<Queue>,
    slots: Arc<Slots>,
}

impl Worker {
    fn new(ctx: Context, work: &Work) -> Self {
        let registry = Arc::new(jobs::registry());
        let claimer = Claimer { worker: WorkerId(Uuid::now_v7()), lease: work.job_lease, kinds: registry.kinds() };
        let queues: Vec<Queue> = work.worker_queues.0.iter().copied().collect();
        let slots = Slots::new(work.worker_concurrency.into());
        // A worker that does not take the queue of the jobs that follow leaves them to others.
        let own = OwnSlots { slots: slots.clone(), claimer: claimer.clone() };
        let steps = Steps::start(&ctx.db, &ctx.doorbell, queues.contains(&Queue::Default).then_some(own));
        Self { ctx: Context { steps, ..ctx }, registry, claimer, queues, slots }
    }

    /// Starts what runs beside the jobs. It stops when the guard is dropped.
    fn start_side_tasks(&self, work: &Work, vitals: &Vitals) -> DropGuard {
        let (db, claimer, slots) = (&self.ctx.db, &self.claimer, &self.slots);
        let rules = Rules {
            schedule: self.ctx.terms.retry,
            kinds: claimer.kinds.clone(),
            unknown_after: work.job_unknown_after,
        };
        let leases = leases::keep_renewing(db.clone(), claimer.clone(), slots.clone());
        let warnings = insecure::sentences(&vitals.insecure);
        let concurrency = work.worker_concurrency.into();
        let heartbeat = heartbeat::keep_beating(
            db.clone(),
            claimer.clone(),
            self.queues.clone(),
            slots.clone(),
            concurrency,
            warnings,
        );
        let history = history::keep_writing(db.clone(), vitals.metrics.counted.clone());
        let announcement = clocks::announce_all(db.clone(), self.registry.clocks(), self.schedules(work));
        let maintenance = maintain::keep_maintaining(self.ctx.clone(), rules, vitals.metrics.jobs.clone());
        let sequencing = sequence::keep_sequencing(db.clone(), work.feed_kept);
        let handing_back = fetch::keep_handing_back(db.clone(), self.ctx.doorbell.clone(), slots.clone());
        let webhooks = webhooks::fill::keep_filling(self.ctx.clone());
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(webhooks));
        tokio::spawn(stop.clone().run_until_cancelled_owned(handing_back));
        tokio::spawn(stop.clone().run_until_cancelled_owned(leases));
        tokio::spawn(stop.clone().run_until_cancelled_owned(heartbeat));
        tokio::spawn(stop.clone().run_until_cancelled_owned(maintenance));
        tokio::spawn(stop.clone().run_until_cancelled_owned(history));
        tokio::spawn(stop.clone().run_until_cancelled_owned(sequencing));
        tokio::spawn(stop.clone().run_until_cancelled_owned(announcement));
        stop.drop_guard()
    }

    /// In the order of the registry's clocks.
    fn schedules(&self, work: &Work) -> Vec<cron::Schedule> {
        self.registry.clocks().iter().map(|clock| (clock.schedule)(work)).collect()
    }

    fn fetcher(&self) -> Fetcher {
        Fetcher {
            db: self.ctx.db.clone(),
            claimer: self.claimer.clone(),
            queues: self.queues.clone(),
            doorbell: self.ctx.doorbell.clone(),
            slots: self.slots.clone(),
            turns: AtomicU64::new(0),
        }
    }

    /// Subscribes to the transport that the settings name.
    fn subscription(&self, work: &Work, stopping: &CancellationToken) -> Subscription {
        match &self.ctx.redis_storage {
            None => Subscription::Doorbell(DoorbellSubscription::new(self.ctx.doorbell.clone())),
            Some(storage) => Subscription::RedisStorage(storage.subscribe(
                self.ctx.db.clone(),
                &self.claimer,
                &self.queues,
                work.worker_concurrency.into(),
                stopping,
            )),
        }
    }

    /// One apalis worker for all queues, where every job is a task of its own, and one for each clock.
    fn monitor(&self, work: &Work, vitals: &Vitals) -> Monitor {
        let settler = Settler::start(
            self.ctx.db.clone(),
            self.ctx.doorbell.clone(),
            self.ctx.terms.retry,
            vitals.metrics.jobs.clone(),
        );
        let (ctx, registry, claimed) = (self.ctx.clone(), self.registry.clone(), ClaimedJobs(self.slots.clone()));
        let monitor = Monitor::new()
            .register(move |_restarts| {
                WorkerBuilder::new("millrace")
                    .backend(claimed.clone())
                    .parallelize(tokio::spawn)
                    .layer(SettleLayer(settler.clone()))
                    .layer(CatchPanicLayer::new())
                    .data(ctx.clone())
                    .data(registry.clone())
                    .build(carry_out)
            })
            .should_restart(|_worker, error| {
                tracing::error!(%error, "the apalis worker ended and is started again: {error}");
                true
            });
        clocks::register(monitor, &self.ctx, work, self.registry.clocks())
    }

    /// Jobs that were claimed ahead go to other workers at once.
    async fn hand_back_unbegun(&self) {
        hand_back(&self.ctx.db, &self.ctx.doorbell, &self.slots.close()).await;
    }

    /// Waits for the running jobs, hands back what does not end, and says that the worker stops.
    async fn wind_down(&self) {
        let (db, doorbell) = (&self.ctx.db, &self.ctx.doorbell);
        if tokio::time::timeout(GRACE, self.slots.empty()).await.is_err() {
            let rest: Vec<_> = self.slots.running().into_iter().map(|(id, (attempt, _))| (id, attempt)).collect();
            hand_back(db, doorbell, &rest).await;
        }
        heartbeat::leave(db, self.claimer.worker).await;
    }
}

async fn carry_out(
    claimed: ClaimedJob,
    Data(ctx): Data<Context>,
    Data(registry): Data<Arc<Registry>>,
) -> Result<Done, BoxDynError> {
    if registry.is_beside_slots(&claimed.job) {
        claimed.slot.step_aside();
    }
    let ctx = Context { steps: ctx.steps.of(claimed.slot), ..ctx };
    Ok(registry.run(claimed.job, ctx).await?)
}
