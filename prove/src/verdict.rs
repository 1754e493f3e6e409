//! Checks the promises. It compares the clients' history, the rows in Postgres and the charges at the provider by
//! queries of its own. Then it asks the API for the audit of the product.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use testkit::receiver::Receiver;
use uuid::Uuid;

use crate::client::{Clients, History, Person};
use crate::cluster::{Cluster, LEASE};
use crate::drain::OpenWork;
use crate::faults::InjectedFault;
use crate::feed::FeedReader;
use crate::hooks;

/// How long after the lease the job of a killed worker may take to become `ready`. When another worker claims it
/// depends on the queue before it, so that is reported and not checked.
const GRACE: TimeDelta = TimeDelta::seconds(2);

/// One check of the verdict, with what broke it.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub name: String,
    /// What was checked, such as "1200 orders".
    pub scope: String,
    pub offenders: Vec<Value>,
}

impl Check {
    fn new(name: &str, scope: impl ToString, offenders: Vec<Value>) -> Self {
        Self { name: name.to_owned(), scope: scope.to_string(), offenders }
    }
}

/// A killed worker, and what became of its jobs.
#[derive(Debug, Clone, Serialize)]
pub struct Recovery {
    pub what: String,
    pub at: DateTime<Utc>,
    pub alone: bool,
    pub jobs: usize,
    /// From the kill until the last job was `ready`, and until another worker had claimed it.
    pub ready_seconds: f64,
    pub taken_seconds: f64,
}

pub struct Evidence<'a> {
    pub cluster: &'a Cluster,
    pub clients: &'a Clients,
    pub faults: &'a [InjectedFault],
    pub open: &'a OpenWork,
    pub feed: &'a FeedReader,
    pub webhooks: Webhooks<'a>,
    pub ended_by_themselves: Vec<String>,
}

/// What a receiver of webhooks got, and what was still on its way at the end.
pub struct Webhooks<'a> {
    pub receiver: &'a Receiver,
    pub undelivered: i64,
}

pub async fn check(evidence: &Evidence<'_>, staff: &mut Person) -> Result<(Vec<Check>, Vec<Recovery>)> {
    let Evidence { cluster, clients, faults, open, .. } = evidence;
    let orders = Orders::read(cluster).await?;
    let mut checks = check_clients(&clients.history(), &orders);
    checks.push(orders.are_final(open));
    checks.push(orders.kept_their_stock());
    checks.push(provider(cluster).await?);
    let stock = clients.history().stock.clone();
    checks.push(units(cluster, &stock).await?);
    let (events, offenders) = evidence.feed.offenders(cluster).await?;
    checks.push(Check::new("the_feed_told_each_event_once_and_in_order", format!("{events} events"), offenders));
    let recoveries = recoveries(cluster, faults).await?;
    checks.push(check_recoveries(&recoveries));
    checks.push(webhooks(cluster, &evidence.webhooks).await?);
    checks.push(check_processes(evidence));
    checks.extend(audit(clients, staff).await?);
    Ok((checks, recoveries))
}

/// All orders in Postgres, by id.
struct Orders(BTreeMap<String, Order>);

#[derive(sqlx::FromRow)]
struct Order {
    id: Uuid,
    status: String,
    total: i64,
    cancel_reason: Option<String>,
    /// Each item is an array of SKU, quantity and unit price.
    items: Value,
    /// The idempotency keys of the order.
    keys: Vec<String>,
}

impl Orders {
    async fn read(cluster: &Cluster) -> Result<Self> {
        let orders: Vec<Order> = sqlx::query_as(
            "select o.id, o.status, o.total_minor as total, o.cancel_reason,
                    (select jsonb_agg(jsonb_build_array(sku, quantity, unit_price_minor) order by line)
                       from order_items i where i.order_id = o.id) as items,
                    array(select key from idempotency_keys k where k.resource = o.id) as keys
               from orders o",
        )
        .fetch_all(&cluster.db)
        .await?;
        Ok(Self(orders.into_iter().map(|order| (order.id.to_string(), order)).collect()))
    }

    fn are_final(&self, open: &OpenWork) -> Check {
        let is_final = |order: &&Order| matches!(order.status.as_str(), "delivered" | "cancelled");
        let mut offenders: Vec<Value> = self
            .0
            .values()
            .filter(|order| !is_final(order))
            .map(|order| json!({ "order_id": order.id, "status": order.status }))
            .collect();
        if !open.is_empty() {
            offenders.push(json!({ "open": open }));
        }
        Check::new("every_order_is_finished_and_holds_no_stock", format!("{} orders", self.0.len()), offenders)
    }

    /// Every order of a run is paid at once. So if one loses its stock before it is charged, we were too slow.
    fn kept_their_stock(&self) -> Check {
        let lost = |order: &&Order| order.cancel_reason.as_deref() == Some("reservation_expired");
        let offenders = self.0.values().filter(lost).map(|order| json!({ "order_id": order.id })).collect();
        Check::new("no_order_lost_its_stock_because_we_were_slow", format!("{} orders", self.0.len()), offenders)
    }
}

fn check_clients(history: &History, orders: &Orders) -> Vec<Check> {
    let placed = history.placed().count();
    let as_answered = |(key, answer): (&String, &Value)| {
        let found = answer["id"].as_str().and_then(|id| orders.0.get(id));
        let same =
            found.is_some_and(|order| order.items == items_of(answer) && answer["total"]["amount"] == order.total);
        let found = found.map(|order| json!({ "items": order.items, "total": order.total }));
        (!same).then(|| json!({ "key": key, "answered": answer, "found": found }))
    };
    let there = history.placed().filter_map(as_answered).collect();

    let explained = |order: &Order| match order.keys.as_slice() {
        [key] => history.orders.get(key).is_some_and(|record| record.placed.is_some() || record.in_doubt > 0),
        _ => false,
    };
    let unasked = |order: &&Order| !explained(order);
    let unasked = orders.0.values().filter(unasked).map(|order| json!({ "order_id": order.id, "keys": order.keys }));
    let mut twice: Vec<Value> = history.contradictions.clone();
    twice.extend(unasked);

    let open = history
        .orders
        .iter()
        .filter(|(_, record)| record.placed.is_none() && record.refused.is_none() && !record.given_up);
    vec![
        Check::new("every_order_answered_201_is_stored_as_answered", format!("{placed} orders answered 201"), there),
        Check::new("each_key_has_at_most_one_order", format!("{} keys", history.orders.len()), twice),
        Check::new(
            "every_repeated_request_was_answered",
            format!("{} keys", history.orders.len()),
            open.map(|(key, _)| json!(key)).collect(),
        ),
        Check::new(
            "no_answer_was_unexpected",
            format!("{} answers", history.answers.values().sum::<u64>()),
            history.unexpected.clone(),
        ),
    ]
}

fn items_of(answer: &Value) -> Value {
    let item = |item: &Value| json!([item["sku"], item["quantity"], item["unit_price"]["amount"]]);
    answer["items"].as_array().map(|items| items.iter().map(item).collect()).unwrap_or_default()
}

/// Every event of an order arrived at least once, and those of one order first arrived in order.
async fn webhooks(cluster: &Cluster, Webhooks { receiver, undelivered }: &Webhooks<'_>) -> Result<Check> {
    let (events, mut offenders) = hooks::offenders(cluster, receiver).await?;
    if *undelivered > 0 {
        offenders.push(json!({ "undelivered": undelivered }));
    }
    Ok(Check::new("every_event_arrives_at_its_webhook_in_order", format!("{events} events"), offenders))
}

/// A delivered order was charged its total once, by the provider or by hand. A cancelled order has no charge left.
async fn provider(cluster: &Cluster) -> Result<Check> {
    let rows: Vec<(Uuid, String, i64, Value)> = sqlx::query_as(
        "select o.id, o.status, o.total_minor,
                coalesce((select jsonb_agg(b.amount_minor) from charges c join simulated_charges b on b.key = c.id
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
    Ok(Check::new(
        "each_delivered_order_is_charged_once_and_no_other",
        format!("{} orders", rows.len()),
        offenders.collect(),
    ))
}

/// Opening stock plus what staff added and removed, minus the units sold, is what is on hand. The ledger is not used.
async fn units(cluster: &Cluster, stock: &BTreeMap<(Uuid, Uuid), i64>) -> Result<Check> {
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
            .then(|| json!({ "product_id": product, "received": put, "sold": sold, "on_hand": on_hand }))
    };
    let scope = format!("{} units sold of {} products", sold.values().sum::<i64>(), shelves.len());
    Ok(Check::new("units_sold_and_on_hand_are_the_units_received", scope, shelves.iter().filter_map(wrong).collect()))
}

/// For each killed worker: how long its jobs had no worker.
async fn recoveries(cluster: &Cluster, faults: &[InjectedFault]) -> Result<Vec<Recovery>> {
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

/// Was no other fault active? A fault can last longer than planned.
fn was_alone(death: &InjectedFault, faults: &[InjectedFault]) -> bool {
    let lease = TimeDelta::from_std(LEASE).expect("it is short");
    let (from, to) = (death.from - TimeDelta::seconds(1), death.from + lease + GRACE);
    faults.iter().filter(|other| other.from != death.from).all(|other| other.to < from || other.from > to)
}

fn check_recoveries(recoveries: &[Recovery]) -> Check {
    let bound = LEASE.as_secs_f64() + GRACE.as_seconds_f64();
    let alone: Vec<&Recovery> = recoveries.iter().filter(|recovery| recovery.alone).collect();
    let late = alone.iter().filter(|recovery| recovery.ready_seconds > bound).map(|recovery| json!(recovery)).collect();
    let jobs: usize = alone.iter().map(|recovery| recovery.jobs).sum();
    let scope = format!("{jobs} jobs of {} workers killed during no other fault", alone.len());
    Check::new("a_killed_workers_jobs_are_ready_within_lease_plus_2_s", scope, late)
}

fn check_processes(evidence: &Evidence<'_>) -> Check {
    let asked = evidence.faults.iter().filter(|fault| fault.kind == "process restarted in turn");
    let badly = asked.clone().filter_map(|fault| fault.ended_badly.as_ref());
    let offenders = badly.chain(&evidence.ended_by_themselves).map(|what| json!(what)).collect();
    let scope = format!("{} processes asked to stop", asked.count());
    Check::new("every_process_ended_only_when_asked_and_with_success", scope, offenders)
}

/// The audit of the product, through the route that staff use.
async fn audit(clients: &Clients, staff: &mut Person) -> Result<Vec<Check>> {
    let report = clients.full_audit(staff).await?;
    let invariants = report["invariants"].as_array().context("the audit lists no invariants")?;
    let line = |found: &Value| {
        let mut offenders = found["offenders"].as_array().cloned().unwrap_or_default();
        if found["violations"] != 0 && offenders.is_empty() {
            offenders.push(found.clone());
        }
        Check::new(found["name"].as_str().unwrap_or_default(), "the audit", offenders)
    };
    Ok(invariants.iter().map(line).collect())
}
