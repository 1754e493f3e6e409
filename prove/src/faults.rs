//! Injects the planned faults, ends them, and records when each one really began and ended.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use crate::cluster::{Cluster, ProcessRef};
use crate::plan::{Fault, FaultKind};
use servers::postgres::Stop;
use testkit::network::NetworkFault;

#[derive(Debug, Clone, Serialize)]
pub struct InjectedFault {
    pub what: String,
    pub kind: &'static str,
    /// `to` is when the fault ended. A process that was restarted listens again by then.
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub alone: bool,
    /// The id of the worker, if the fault was about a worker.
    pub worker: Option<Uuid>,
    /// Set if a process was asked to stop and did not exit with success.
    pub ended_badly: Option<String>,
}

/// Injects all faults of the plan. Returns when all of them have ended.
pub async fn inject(cluster: Arc<Cluster>, start: Instant, plan: Vec<Fault>) -> Result<Vec<InjectedFault>> {
    let mut going_on = JoinSet::new();
    for fault in plan {
        sleep_until(start + fault.at).await;
        going_on.spawn(carry_out(cluster.clone(), fault));
    }
    let mut happened = Vec::new();
    while let Some(done) = going_on.join_next().await {
        happened.push(done??);
    }
    happened.sort_by_key(|fault: &InjectedFault| fault.from);
    Ok(happened)
}

/// Injects one fault and ends it. Faults of the same process or server run one after the other, because each holds its
/// lock.
async fn carry_out(cluster: Arc<Cluster>, Fault { lasts, what, alone, .. }: Fault) -> Result<InjectedFault> {
    let mut now = InjectedFault {
        what: what.to_string(),
        kind: what.kind(),
        from: Utc::now(),
        to: Utc::now(),
        alone,
        worker: None,
        ended_badly: None,
    };
    apply(&cluster, lasts, what, &mut now).await.with_context(|| format!("fault: {what}"))?;
    now.to = Utc::now();
    Ok(now)
}

async fn apply(cluster: &Cluster, lasts: Duration, what: FaultKind, now: &mut InjectedFault) -> Result<()> {
    match what {
        FaultKind::Kill(who) | FaultKind::Freeze(who) | FaultKind::Restart(who) => {
            apply_to_process(cluster, lasts, what, who, now).await?;
        }
        FaultKind::Slow(who, server, delay) => {
            cluster.member(who).set_network(server, NetworkFault::Slow(delay));
            sleep(lasts).await;
            cluster.member(who).set_network(server, NetworkFault::None);
        }
        FaultKind::Cut(who, server) => {
            cluster.member(who).set_network(server, NetworkFault::Cut);
            sleep(lasts).await;
            cluster.member(who).set_network(server, NetworkFault::None);
        }
        FaultKind::Silence(who, server) => {
            cluster.member(who).set_network(server, NetworkFault::Silent);
            sleep(lasts).await;
            cluster.member(who).set_network(server, NetworkFault::None);
        }
        FaultKind::KillRedis => {
            let mut redis = cluster.redis.lock().await;
            now.from = Utc::now();
            redis.kill().await?;
            sleep(lasts).await;
            redis.start_again().await?;
        }
        FaultKind::FlushRedis => cluster.redis.lock().await.flush().await?,
        FaultKind::CrashPostgres | FaultKind::LongOutage => {
            let mut postgres = cluster.postgres().lock().await;
            now.from = Utc::now();
            postgres.stop(Stop::Immediate).await?;
            sleep(lasts).await;
            postgres.start_again().await?;
        }
    }
    Ok(())
}

async fn apply_to_process(
    cluster: &Cluster,
    lasts: Duration,
    what: FaultKind,
    who: ProcessRef,
    now: &mut InjectedFault,
) -> Result<()> {
    let member = cluster.member(who);
    let mut process = member.process.lock().await;
    if let (ProcessRef::Worker(_), Some(pid)) = (who, process.pid()) {
        now.worker = cluster.worker_id(pid).await;
    }
    now.from = Utc::now();
    match what {
        FaultKind::Freeze(_) => {
            process.signal("STOP").await?;
            sleep(lasts).await;
            process.signal("CONT").await
        }
        FaultKind::Restart(_) => {
            process.signal("TERM").await?;
            let status = process.ended().await?;
            now.ended_badly = (!status.success()).then(|| format!("{who}: {status}"));
            member.start_again(&mut process).await
        }
        _ => {
            process.kill().await?;
            sleep(lasts).await;
            member.start_again(&mut process).await
        }
    }
}
