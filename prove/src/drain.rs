//! Waits until all work is done after the faults have ended. Staff retry dead jobs or cancel their orders.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::client::{Clients, Person, Request};
use crate::cluster::Cluster;

/// Leases and retries take seconds, so all work is done long before this.
const TIMEOUT: Duration = Duration::from_mins(3);
/// If nothing changes for this long, nothing will. It is longer than any delay between two attempts of a job.
const STUCK: Duration = Duration::from_secs(10);

/// Work that is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct OpenWork {
    pub orders: i64,
    pub jobs: i64,
    pub dead: i64,
    pub units_reserved: i64,
    /// Grows with every movement of stock and every attempt of an order's job. Scheduled jobs do not count.
    pub moves: i64,
}

impl OpenWork {
    async fn look(cluster: &Cluster) -> Result<Self> {
        Ok(sqlx::query_as(
            "select (select count(*) from orders where status not in ('delivered', 'cancelled')) as orders,
                    (select count(*) from jobs where state in ('ready', 'running') and order_id is not null) as jobs,
                    (select count(*) from jobs where state = 'dead') as dead,
                    (select coalesce(sum(reserved), 0) from inventory) as units_reserved,
                    (select count(*) from stock_movements) + (select coalesce(sum(attempt), 0) from jobs where order_id is not null) as moves",
        )
        .fetch_one(&cluster.db)
        .await?)
    }

    pub fn is_empty(&self) -> bool {
        self.orders == 0 && self.jobs == 0 && self.dead == 0 && self.units_reserved == 0
    }
}

/// Waits until no work is open, or until nothing changes any more. Returns how long that took and what is still open.
pub async fn wait_until_done(cluster: &Cluster, clients: &Clients, staff: &mut Person) -> Result<(Duration, OpenWork)> {
    let begun = Instant::now();
    let (mut last, mut moved) = (OpenWork::look(cluster).await?, Instant::now());
    let mut retried = BTreeSet::new();
    loop {
        let open = OpenWork::look(cluster).await?;
        let ended = open.is_empty() || moved.elapsed() > STUCK || begun.elapsed() > TIMEOUT;
        if ended {
            return Ok((begun.elapsed(), open));
        }
        if open != last {
            (last, moved) = (open, Instant::now());
        }
        handle_dead_jobs(clients, staff, &mut retried).await;
        sleep(Duration::from_millis(250)).await;
    }
}

/// Retries half of the dead payment jobs once, at random. The others, and those that die again, are discarded and their
/// orders cancelled. All other dead jobs are retried.
async fn handle_dead_jobs(clients: &Clients, staff: &mut Person, retried: &mut BTreeSet<String>) {
    let Some(dead) = clients.ask(staff, &Request::get("/v1/ops/jobs?state=dead&limit=100")).await else { return };
    for job in dead.body["data"].as_array().into_iter().flatten() {
        let id = job["id"].as_str().unwrap_or_default();
        let is_payment = job["kind"] == "process_payment";
        let path = format!("/v1/ops/jobs/{id}");
        if !is_payment || (staff.rng.bool() && retried.insert(id.to_owned())) {
            let key = format!("retry-{id}-{}", job["attempt"]);
            clients.ask(staff, &Request::post(&format!("{path}/retry"), key, json!({}))).await;
            continue;
        }
        if let Some(order) = job["order_id"].as_str() {
            let cancel = json!({ "reason": "payment failed" });
            let key = format!("give-up-{order}");
            clients.ask(staff, &Request::post(&format!("/v1/orders/{order}/cancel"), key, cancel)).await;
        }
        clients.ask(staff, &Request::post(&format!("{path}/discard"), format!("discard-{id}"), json!({}))).await;
    }
}
