//! After the faults: nothing is broken any more, and every order comes to its end, some of them with the help of
//! staff, who find what was given up and decide.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::client::{Clients, Person, Request};
use crate::cluster::Cluster;

/// Everything that was begun should be over long before: leases of seconds, retries of seconds.
const PATIENCE: Duration = Duration::from_mins(3);
/// Nothing has moved for so long, and nothing will: longer than any pause of a job.
const STUCK: Duration = Duration::from_secs(10);

/// What is not at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Open {
    pub orders: i64,
    pub jobs: i64,
    pub dead: i64,
    pub units_reserved: i64,
    /// Grows with whatever happens to orders and stock; the clock goes on ticking.
    pub moves: i64,
}

impl Open {
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

    pub fn is_nothing(&self) -> bool {
        self.orders == 0 && self.jobs == 0 && self.dead == 0 && self.units_reserved == 0
    }
}

/// Waits until nothing is open, or until nothing moves any more, and tells how long that took and what is left.
pub async fn come_to_rest(cluster: &Cluster, clients: &Clients, staff: &mut Person) -> Result<(Duration, Open)> {
    let begun = Instant::now();
    let (mut last, mut moved) = (Open::look(cluster).await?, Instant::now());
    let mut retried = BTreeSet::new();
    loop {
        let open = Open::look(cluster).await?;
        let ended = open.is_nothing() || moved.elapsed() > STUCK || begun.elapsed() > PATIENCE;
        if ended {
            return Ok((begun.elapsed(), open));
        }
        if open != last {
            (last, moved) = (open, Instant::now());
        }
        look_after_the_dead(clients, staff, &mut retried).await;
        sleep(Duration::from_millis(250)).await;
    }
}

/// Half of them are tried once more; a payment that is dead again is given up, and its order with it.
async fn look_after_the_dead(clients: &Clients, staff: &mut Person, retried: &mut BTreeSet<String>) {
    let Some(dead) = clients.ask(staff, &Request::get("/v1/ops/jobs?state=dead&limit=100")).await else { return };
    for job in dead.body["data"].as_array().into_iter().flatten() {
        let id = job["id"].as_str().unwrap_or_default();
        let is_payment = job["kind"] == "process_payment";
        let path = format!("/v1/ops/jobs/{id}");
        if !is_payment || (staff.dice.bool() && retried.insert(id.to_owned())) {
            let key = format!("retry-{id}-{}", job["attempt"]);
            clients.ask(staff, &Request::post(&format!("{path}/retry"), key, json!({}))).await;
            continue;
        }
        if let Some(order) = job["order_id"].as_str() {
            let cancel = json!({ "reason": "it could not be paid" });
            let key = format!("give-up-{order}");
            clients.ask(staff, &Request::post(&format!("/v1/orders/{order}/cancel"), key, cancel)).await;
        }
        clients.ask(staff, &Request::post(&format!("{path}/discard"), format!("discard-{id}"), json!({}))).await;
    }
}
