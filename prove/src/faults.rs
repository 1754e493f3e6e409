//! Makes things go wrong as planned, puts them right again, and writes down what really happened when.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use crate::cluster::{Cluster, Who};
use crate::plan::{Fault, What};
use servers::postgres::Stop;
use testkit::network::NetworkFault;

#[derive(Debug, Clone, Serialize)]
pub struct Happened {
    pub what: String,
    pub kind: &'static str,
    /// Until it was put right. A process that is started again has said that it listens.
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub alone: bool,
    /// Who was struck, if it was a worker.
    pub worker: Option<Uuid>,
    /// A process that was asked to stop and did not end well.
    pub ended_badly: Option<String>,
}

/// Carries out the plan, and comes back when everything is put right.
pub async fn inject(cluster: Arc<Cluster>, start: Instant, plan: Vec<Fault>) -> Result<Vec<Happened>> {
    let mut going_on = JoinSet::new();
    for fault in plan {
        sleep_until(start + fault.at).await;
        going_on.spawn(carry_out(cluster.clone(), fault));
    }
    let mut happened = Vec::new();
    while let Some(done) = going_on.join_next().await {
        happened.push(done??);
    }
    happened.sort_by_key(|fault: &Happened| fault.from);
    Ok(happened)
}

/// One fault from its beginning to its end. What strikes the same process or server waits for the one before.
async fn carry_out(cluster: Arc<Cluster>, Fault { lasts, what, alone, .. }: Fault) -> Result<Happened> {
    let mut now = Happened {
        what: what.to_string(),
        kind: what.kind(),
        from: Utc::now(),
        to: Utc::now(),
        alone,
        worker: None,
        ended_badly: None,
    };
    strike(&cluster, lasts, what, &mut now).await.with_context(|| format!("while doing this: {what}"))?;
    now.to = Utc::now();
    Ok(now)
}

async fn strike(cluster: &Cluster, lasts: Duration, what: What, now: &mut Happened) -> Result<()> {
    match what {
        What::Kill(who) | What::Freeze(who) | What::Restart(who) => {
            strike_process(cluster, lasts, what, who, now).await?;
        }
        What::Slow(who, server, delay) => {
            cluster.member(who).set_network(server, NetworkFault::Slow(delay));
            sleep(lasts).await;
            cluster.member(who).set_network(server, NetworkFault::None);
        }
        What::Cut(who, server) => {
            cluster.member(who).set_network(server, NetworkFault::Cut);
            sleep(lasts).await;
            cluster.member(who).set_network(server, NetworkFault::None);
        }
        What::Silence(who, server) => {
            cluster.member(who).set_network(server, NetworkFault::Silent);
            sleep(lasts).await;
            cluster.member(who).set_network(server, NetworkFault::None);
        }
        What::KillRedis => {
            let mut redis = cluster.redis.lock().await;
            now.from = Utc::now();
            redis.kill().await?;
            sleep(lasts).await;
            redis.start_again().await?;
        }
        What::FlushRedis => cluster.redis.lock().await.flush().await?,
        What::CrashPostgres => {
            let mut postgres = cluster.postgres.lock().await;
            now.from = Utc::now();
            postgres.stop(Stop::Immediate).await?;
            sleep(lasts).await;
            postgres.start_again().await?;
        }
    }
    Ok(())
}

async fn strike_process(cluster: &Cluster, lasts: Duration, what: What, who: Who, now: &mut Happened) -> Result<()> {
    let member = cluster.member(who);
    let mut process = member.process.lock().await;
    if let (Who::Worker(_), Some(pid)) = (who, process.pid()) {
        now.worker = cluster.worker_id(pid).await;
    }
    now.from = Utc::now();
    match what {
        What::Freeze(_) => {
            process.signal("STOP").await?;
            sleep(lasts).await;
            process.signal("CONT").await
        }
        What::Restart(_) => {
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
