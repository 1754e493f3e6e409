//! Whether the promises were kept: what the clients remember, what Postgres holds and what the provider's books
//! say, compared by questions of our own; and the product's own audit, invariant by invariant.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::{Clients, Memory, Person};
use crate::cluster::{Cluster, LEASE};
use crate::faults::Happened;
use crate::rest::Open;

/// A job of a worker that was killed is ready for another one within the lease and this. When it is taken depends on
/// how much stands before it: on a busy machine that is a matter of the queue.
const GRACE: TimeDelta = TimeDelta::seconds(2);

/// One line of the verdict.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub name: String,
    /// What it was found true of.
    pub of: String,
    pub offenders: Vec<Value>,
}

impl Line {
    fn new(name: &str, of: impl ToString, offenders: Vec<Value>) -> Self {
        Self { name: name.to_owned(), of: of.to_string(), offenders }
    }
}

/// A worker's death, and what became of the jobs that it held.
#[derive(Debug, Clone, Serialize)]
pub struct Recovery {
    pub what: String,
    pub at: DateTime<Utc>,
    pub alone: bool,
    pub jobs: usize,
    /// From the death until the last of them was ready again, and until it was with another worker.
    pub ready_seconds: f64,
    pub taken_seconds: f64,
}

pub struct Evidence<'a> {
    pub cluster: &'a Cluster,
    pub clients: &'a Clients,
    pub faults: &'a [Happened],
    pub open: &'a Open,
    pub ended_by_themselves: Vec<String>,
}

pub async fn reach(evidence: &Evidence<'_>, staff: &mut Person) -> Result<(Vec<Line>, Vec<Recovery>)> {
    let Evidence { cluster, clients, faults, open, .. } = evidence;
    let orders = Orders::read(cluster).await?;
    let mut lines = of_the_clients(&clients.memory(), &orders);
    lines.push(orders.are_final(open));
    lines.push(provider(cluster).await?);
    let stock = clients.memory().stock.clone();
    lines.push(units(cluster, &stock).await?);
    let recoveries = recoveries(cluster, faults).await?;
    lines.push(of_the_deaths(&recoveries));
    lines.push(of_the_processes(evidence));
    lines.extend(audit(clients, staff).await?);
    Ok((lines, recoveries))
}

/// As Postgres holds them.
struct Orders(BTreeMap<String, Order>);

#[derive(sqlx::FromRow)]
struct Order {
    id: Uuid,
    status: String,
    total: i64,
    /// Each as sku, quantity, unit price.
    items: Value,
    /// Under which it was asked for.
    keys: Vec<String>,
}

impl Orders {
    async fn read(cluster: &Cluster) -> Result<Self> {
        let orders: Vec<Order> = sqlx::query_as(
            "select o.id, o.status, o.total_minor as total,
                    (select jsonb_agg(jsonb_build_array(sku, quantity, unit_price_minor) order by line)
                       from order_items i where i.order_id = o.id) as items,
                    array(select key from idempotency_keys k where k.resource = o.id) as keys
               from orders o",
        )
        .fetch_all(&cluster.db)
        .await?;
        Ok(Self(orders.into_iter().map(|order| (order.id.to_string(), order)).collect()))
    }

    fn are_final(&self, open: &Open) -> Line {
        let is_final = |order: &&Order| matches!(order.status.as_str(), "delivered" | "cancelled");
        let mut offenders: Vec<Value> = self
            .0
            .values()
            .filter(|order| !is_final(order))
            .map(|order| json!({ "order_id": order.id, "status": order.status }))
            .collect();
        if !open.is_nothing() {
            offenders.push(json!({ "left_open": open }));
        }
        Line::new("every_order_is_at_its_end_and_holds_nothing", format!("{} orders", self.0.len()), offenders)
    }
}

fn of_the_clients(memory: &Memory, orders: &Orders) -> Vec<Line> {
    let placed = memory.placed().count();
    let as_answered = |(key, answer): (&String, &Value)| {
        let found = answer["id"].as_str().and_then(|id| orders.0.get(id));
        let same =
            found.is_some_and(|order| order.items == items_of(answer) && answer["total"]["amount"] == order.total);
        let found = found.map(|order| json!({ "items": order.items, "total": order.total }));
        (!same).then(|| json!({ "key": key, "answered": answer, "found": found }))
    };
    let there = memory.placed().filter_map(as_answered).collect();

    let explained = |order: &Order| match order.keys.as_slice() {
        [key] => memory.orders.get(key).is_some_and(|asked| asked.placed.is_some() || asked.in_doubt > 0),
        _ => false,
    };
    let unasked = |order: &&Order| !explained(order);
    let unasked = orders.0.values().filter(unasked).map(|order| json!({ "order_id": order.id, "keys": order.keys }));
    let mut twice: Vec<Value> = memory.contradictions.clone();
    twice.extend(unasked);

    let open =
        memory.orders.iter().filter(|(_, asked)| asked.placed.is_none() && asked.refused.is_none() && !asked.given_up);
    vec![
        Line::new("every_answered_order_is_there_as_answered", format!("{placed} orders answered 201"), there),
        Line::new("each_key_has_one_order_at_most", format!("{} keys", memory.orders.len()), twice),
        Line::new(
            "everybody_who_asked_again_was_answered",
            format!("{} keys", memory.orders.len()),
            open.map(|(key, _)| json!(key)).collect(),
        ),
        Line::new(
            "no_answer_was_strange",
            format!("{} answers", memory.answers.values().sum::<u64>()),
            memory.strange.clone(),
        ),
    ]
}

fn items_of(answer: &Value) -> Value {
    let item = |item: &Value| json!([item["sku"], item["quantity"], item["unit_price"]["amount"]]);
    answer["items"].as_array().map(|items| items.iter().map(item).collect()).unwrap_or_default()
}

/// Delivered: the provider took the whole price, once, or staff did and it took nothing. Cancelled: nothing stays taken.
async fn provider(cluster: &Cluster) -> Result<Line> {
    let rows: Vec<(Uuid, String, i64, Value)> = sqlx::query_as(
        "select o.id, o.status, o.total_minor,
                coalesce((select jsonb_agg(b.amount_minor) from charges c join simulated.charges b on b.key = c.id
                           where c.order_id = o.id and b.state = 'charged'), '[]')
                || coalesce((select jsonb_agg(c.amount_minor) from charges c
                              where c.order_id = o.id and c.manual and c.state = 'charged'), '[]')
           from orders o",
    )
    .fetch_all(&cluster.db)
    .await?;
    let stays = |status: &str, total: i64| if status == "delivered" { json!([total]) } else { json!([]) };
    let offenders = rows
        .iter()
        .filter(|(_, status, total, taken)| *taken != stays(status, *total))
        .map(|(id, status, total, taken)| json!({ "order_id": id, "status": status, "total": total, "taken": taken }));
    Ok(Line::new(
        "each_delivered_order_is_paid_once_and_no_other",
        format!("{} orders", rows.len()),
        offenders.collect(),
    ))
}

/// What staff put there and took away, less what was delivered, is what is there. The ledger is not asked.
async fn units(cluster: &Cluster, stock: &BTreeMap<(Uuid, Uuid), i64>) -> Result<Line> {
    let shelves: Vec<(Uuid, i64)> = sqlx::query_as("select product_id, sum(on_hand)::int8 from inventory group by 1")
        .fetch_all(&cluster.db)
        .await?;
    let sold: Vec<(Uuid, i64)> = sqlx::query_as(
        "select product_id, sum(quantity)::int8 from order_items join orders on id = order_id
          where status in ('shipped', 'delivered') group by 1",
    )
    .fetch_all(&cluster.db)
    .await?;
    let sold: BTreeMap<Uuid, i64> = sold.into_iter().collect();
    let mut put = BTreeMap::<Uuid, i64>::new();
    for ((product, _), units) in stock {
        *put.entry(*product).or_default() += units;
    }
    let wrong = |(product, on_hand): &(Uuid, i64)| {
        let (put, sold) =
            (put.get(product).copied().unwrap_or_default(), sold.get(product).copied().unwrap_or_default());
        (put - sold != *on_hand)
            .then(|| json!({ "product_id": product, "put_there": put, "sold": sold, "on_hand": on_hand }))
    };
    let of = format!("{} units sold of {} products", sold.values().sum::<i64>(), shelves.len());
    Ok(Line::new("units_sold_and_left_are_the_units_put_there", of, shelves.iter().filter_map(wrong).collect()))
}

/// For each worker that was killed: how long its jobs were without one.
async fn recoveries(cluster: &Cluster, faults: &[Happened]) -> Result<Vec<Recovery>> {
    let mut recoveries = Vec::new();
    for death in faults.iter().filter(|fault| fault.kind == "worker killed") {
        let Some(worker) = death.worker else { continue };
        let (jobs, ready, taken): (i64, Option<DateTime<Utc>>, Option<DateTime<Utc>>) = sqlx::query_as(
            "select count(*), max(a.ended_at),
                    max(coalesce(next.started_at, case when j.attempt > a.attempt then j.started_at end))
               from job_attempts a
               join jobs j on j.id = a.job_id
               left join job_attempts next on next.job_id = a.job_id and next.attempt = a.attempt + 1
              where a.worker = $1 and a.outcome = 'lease_lost' and a.ended_at > $2",
        )
        .bind(worker)
        .bind(death.from)
        .fetch_one(&cluster.db)
        .await?;
        let since = |at: DateTime<Utc>| (at - death.from).as_seconds_f64();
        recoveries.push(Recovery {
            what: death.what.clone(),
            at: death.from,
            alone: death.alone && was_alone(death, faults),
            jobs: usize::try_from(jobs)?,
            ready_seconds: ready.map_or(0.0, since),
            taken_seconds: taken.map_or(0.0, since),
        });
    }
    Ok(recoveries)
}

/// Whether really nothing else was broken; a fault can take longer than planned to be put right.
fn was_alone(death: &Happened, faults: &[Happened]) -> bool {
    let lease = TimeDelta::from_std(LEASE).expect("it is short");
    let (from, to) = (death.from - TimeDelta::seconds(1), death.from + lease + GRACE);
    faults.iter().filter(|other| other.from != death.from).all(|other| other.to < from || other.from > to)
}

fn of_the_deaths(recoveries: &[Recovery]) -> Line {
    let bound = LEASE.as_secs_f64() + GRACE.as_seconds_f64();
    let alone: Vec<&Recovery> = recoveries.iter().filter(|recovery| recovery.alone).collect();
    let late = alone.iter().filter(|recovery| recovery.ready_seconds > bound).map(|recovery| json!(recovery)).collect();
    let jobs: usize = alone.iter().map(|recovery| recovery.jobs).sum();
    let of = format!("{jobs} jobs of {} workers killed while all else was well", alone.len());
    Line::new("a_dead_workers_jobs_are_ready_within_the_lease_and_2_s", of, late)
}

fn of_the_processes(evidence: &Evidence<'_>) -> Line {
    let asked = evidence.faults.iter().filter(|fault| fault.kind == "process restarted in turn");
    let badly = asked.clone().filter_map(|fault| fault.ended_badly.as_ref());
    let offenders = badly.chain(&evidence.ended_by_themselves).map(|what| json!(what)).collect();
    let of = format!("{} processes asked to stop", asked.count());
    Line::new("no_process_ended_but_when_asked_and_then_well", of, offenders)
}

/// The product's own list, as staff would ask for it.
async fn audit(clients: &Clients, staff: &mut Person) -> Result<Vec<Line>> {
    let report = clients.full_audit(staff).await?;
    let invariants = report["invariants"].as_array().context("the audit lists no invariants")?;
    let line = |found: &Value| {
        let mut offenders = found["offenders"].as_array().cloned().unwrap_or_default();
        if found["violations"] != 0 && offenders.is_empty() {
            offenders.push(found.clone());
        }
        Line::new(found["name"].as_str().unwrap_or_default(), "the audit", offenders)
    };
    Ok(invariants.iter().map(line).collect())
}
