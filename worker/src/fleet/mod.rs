//! The life of a worker: takes jobs, keeps their leases, shows that it is alive, and stops gracefully.

pub mod backend;
pub mod batch;
pub mod clocks;
pub mod fetch;
pub mod settle;
pub mod transport;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use apalis::layers::catch_panic::CatchPanicLayer;
use apalis::prelude::{Data, Monitor, WorkerBuilder};
use apalis_core::error::BoxDynError;
use apalis_core::worker::ext::parallelize::ParallelizeExt;
use shared::metrics::jobs::JobMetrics;
use shared::queue::claim::{self, Claimer};
use shared::queue::{Queue, WorkerId, heartbeat, maintain};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tower::timeout::TimeoutLayer;
use uuid::Uuid;

use crate::Vitals;
use crate::config::Work;
use crate::context::Context;
use crate::error::Done;
use crate::fleet::backend::{ClaimedJobs, Ticket};
use crate::fleet::fetch::{Ear, Slots, Taker, hand_back};
use crate::fleet::settle::{SettleLayer, Settler};
use crate::jobs;

/// No handler takes longer: the slowest provider answers within half of it.
const HANDLER_TIMEOUT: Duration = Duration::from_mins(1);
/// What runs when the worker is asked to stop may take so long to finish; the rest is handed back.
pub const GRACE: Duration = Duration::from_secs(20);
/// How often a worker shows that it is alive and looks which queues are paused.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often lost leases and unrung jobs are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// How often, within a round, a doorbell that has a backlog behind it is topped up.
const TOP_UP: Duration = Duration::from_millis(50);

/// Runs jobs until the process is asked to stop, and finishes those that are running.
pub async fn run(ctx: Context, work: &Work, vitals: &Vitals) -> anyhow::Result<()> {
    let queues: Vec<Queue> = work.worker_queues.0.iter().copied().collect();
    let claimer = Claimer { worker: WorkerId(Uuid::now_v7()), lease: work.job_lease, kinds: jobs::known() };
    let slots = Slots::new(work.worker_concurrency.into());
    let (tickets, claimed) = mpsc::channel(work.worker_concurrency.into());
    let metrics = vitals.metrics.jobs.clone();
    let settler = Settler::start(ctx.db.clone(), ctx.doorbell.clone(), ctx.terms.retry, metrics.clone());

    let rules = maintain::Rules {
        schedule: ctx.terms.retry,
        kinds: claimer.kinds.clone(),
        unknown_after: work.job_unknown_after,
    };

    let beside = CancellationToken::new();
    let _beside = beside.clone().drop_guard();
    tokio::spawn(beside.clone().run_until_cancelled_owned(keep_leases(ctx.db.clone(), claimer.clone(), slots.clone())));
    tokio::spawn(beside.clone().run_until_cancelled_owned(show_life(
        ctx.db.clone(),
        claimer.clone(),
        queues.clone(),
        slots.clone(),
    )));
    tokio::spawn(beside.clone().run_until_cancelled_owned(keep_sweeping(ctx.clone(), rules, metrics)));

    let taker = Taker {
        db: ctx.db.clone(),
        claimer: claimer.clone(),
        queues: queues.clone(),
        doorbell: ctx.doorbell.clone(),
        slots: slots.clone(),
        tickets,
        takes: AtomicU64::new(0),
    };
    let ear = match &ctx.stock {
        None => Ear::doorbell(ctx.doorbell.clone()),
        Some(stock) => Ear::Stock(stock.listen(
            ctx.db.clone(),
            &claimer,
            &queues,
            work.worker_concurrency.into(),
            &vitals.stopping,
        )),
    };
    let claimed = ClaimedJobs::new(claimed);
    let taking = tokio::spawn(taker.run(ear, vitals.stopping.clone()));
    tracing::info!(worker_id = %claimer.worker.0, concurrency = work.worker_concurrency, "the worker takes jobs");

    // The taker ends when the worker is asked to stop; that is the sign for apalis.
    let monitor = monitor(claimed.clone(), ctx.clone(), settler);
    clocks::register(monitor, &ctx, &work.reaper_schedule)
        .shutdown_timeout(GRACE)
        .run_with_signal(async { taking.await.map_err(std::io::Error::other) })
        .await?;
    hand_back(&ctx.db, &ctx.doorbell, &claimed.unbegun()).await;
    if tokio::time::timeout(GRACE, slots.empty()).await.is_err() {
        let rest: Vec<_> = slots.running().into_iter().map(|(id, (attempt, _))| (id, attempt)).collect();
        hand_back(&ctx.db, &ctx.doorbell, &rest).await;
    }
    if let Err(error) = leave(&ctx.db, claimer.worker).await {
        // All that was asked for is done, and whoever is silent is forgotten after a while.
        tracing::warn!(%error, "the worker could not take its leave: {error}");
    }
    Ok(())
}

async fn leave(db: &PgPool, worker: WorkerId) -> shared::error::Result<()> {
    let mut conn = db.acquire().await?;
    heartbeat::leave(&mut conn, worker).await
}

/// One apalis worker over all queues. Every job is a task of its own.
fn monitor(claimed: ClaimedJobs, ctx: Context, settler: Arc<Settler>) -> Monitor {
    Monitor::new()
        .register(move |_restarts| {
            WorkerBuilder::new("millrace")
                .backend(claimed.clone())
                .parallelize(tokio::spawn)
                .layer(SettleLayer(settler.clone()))
                .layer(TimeoutLayer::new(HANDLER_TIMEOUT))
                .layer(CatchPanicLayer::new())
                .data(ctx.clone())
                .build(handle)
        })
        .should_restart(|_worker, error| {
            tracing::error!(%error, "the apalis worker ended and is started again: {error}");
            true
        })
}

async fn handle(ticket: Ticket, ctx: Data<Context>) -> Result<Done, BoxDynError> {
    Ok(jobs::carry_out(&ticket.job, &ctx).await?)
}

/// Renews the leases of what really runs, on a connection of its own: a pool that is busy must cost no lease.
async fn keep_leases(db: PgPool, claimer: Claimer, slots: Arc<Slots>) {
    let mut every = every(claimer.lease / 3);
    let mut own: Option<PgConnection> = None;
    loop {
        every.tick().await;
        let running = slots.running();
        if running.is_empty() {
            continue;
        }
        let conn = match &mut own {
            Some(conn) => conn,
            none => match PgConnection::connect_with(&db.connect_options()).await {
                Ok(conn) => none.insert(conn),
                Err(error) => {
                    tracing::warn!(%error, "leases cannot be renewed: {error}");
                    continue;
                }
            },
        };
        let renewal = tokio::time::timeout(claimer.lease / 3, claim::renew(conn, &claimer, &running)).await;
        if !matches!(renewal, Ok(Ok(()))) {
            tracing::warn!(jobs = running.len(), "leases could not be renewed: {renewal:?}");
            own = None;
        }
    }
}

/// Tells that this worker lives, and learns which queues are paused.
async fn show_life(db: PgPool, claimer: Claimer, queues: Vec<Queue>, slots: Arc<Slots>) {
    let mut every = every(HEARTBEAT);
    loop {
        every.tick().await;
        let beat = async {
            let mut conn = db.acquire().await?;
            heartbeat::beat(&mut conn, &claimer, &queues, slots.running().len()).await
        };
        match beat.await {
            Ok(paused) => slots.pause(paused),
            Err(error) => tracing::warn!(%error, "the heartbeat failed: {error}"),
        }
    }
}

/// Sweeps while this process is the one that does; otherwise waits for its turn.
async fn keep_sweeping(ctx: Context, rules: maintain::Rules, metrics: JobMetrics) {
    let mut every = every(SWEEP);
    loop {
        every.tick().await;
        if let Err(error) = lead(&ctx, &rules, &metrics, &mut every).await {
            tracing::warn!(%error, "the sweep failed: {error}");
        }
    }
}

/// Leads for as long as the connection lives that holds the lock.
async fn lead(
    ctx: &Context,
    rules: &maintain::Rules,
    metrics: &JobMetrics,
    every: &mut tokio::time::Interval,
) -> shared::error::Result<()> {
    // Beside the pool, which would otherwise be one smaller after every time that this connection is lost.
    let mut conn = ctx.db.acquire().await?.detach();
    while !maintain::lead(&mut conn).await? {
        every.tick().await;
    }
    tracing::info!("this worker sweeps");
    let since = Instant::now();
    loop {
        let swept = maintain::sweep(&mut conn, &ctx.doorbell, rules, since.elapsed()).await?;
        metrics.recovered(swept.reclaimed);
        metrics.buried(swept.died);
        if swept.reclaimed + swept.died > 0 {
            tracing::warn!(reclaimed = swept.reclaimed, died = swept.died, "lost jobs were taken back");
        }
        let next_round = Instant::now() + SWEEP;
        while maintain::top_up(&mut conn, &ctx.doorbell, rules).await? && Instant::now() < next_round {
            tokio::time::sleep(TOP_UP).await;
        }
        every.tick().await;
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut every = tokio::time::interval(period);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    every
}
