//! A receiver of webhooks among the clients: it errs, closes and is slow. At the end it has every event of every order, and
//! first saw those of each order in order.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::receiver::{Reaction, Receiver};
use tokio::time::{Instant, sleep};

use crate::client::{Clients, Person, Request};
use crate::cluster::Cluster;

/// How long the last deliveries may take once everything else is done. An event that failed six times waits for most of a
/// minute, behind it wait those of its order, and a busy machine is thousands of deliveries behind.
const LAST_DELIVERIES: Duration = Duration::from_mins(5);
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Registers a receiver for all events of orders. About every fifth request fails.
pub async fn open(clients: &Clients, staff: &mut Person) -> Result<Receiver> {
    let receiver = Receiver::that(|_, number| match number % 17 {
        3 | 11 => Reaction::Status(503),
        7 => Reaction::Close,
        13 => Reaction::Late(Duration::from_millis(200)),
        _ => Reaction::Status(200),
    })
    .await;
    let body = json!({ "url": receiver.url, "types": ["order.*"] });
    let made = clients.ask(staff, &Request::post("/v1/webhooks", "webhook".to_owned(), body)).await;
    ensure!(made.is_some_and(|reply| reply.status == 201), "the webhook could not be registered");
    Ok(receiver)
}

/// Waits until nothing waits to be delivered, and returns what still does.
pub async fn wait_until_delivered(cluster: &Cluster) -> Result<i64> {
    let waiting = "select (select count(*) from webhook_deliveries where state = 'pending')
                        + (select count(*) from order_events e
                            where not exists (select from webhook_deliveries d where d.subject = e.order_id and d.sequence = e.sequence))";
    let deadline = Instant::now() + LAST_DELIVERIES;
    loop {
        let left: i64 = sqlx::query_scalar(waiting).fetch_one(&cluster.db).await?;
        if left == 0 || Instant::now() >= deadline {
            return Ok(left);
        }
        sleep(ASK_AGAIN).await;
    }
}

/// The orders whose events did not all arrive, or not in order, and how many events there are.
pub async fn offenders(cluster: &Cluster, receiver: &Receiver) -> Result<(i64, Vec<Value>)> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("select order_id::text, count(*) from order_events group by 1").fetch_all(&cluster.db).await?;
    let mut arrived: HashMap<String, Vec<i64>> = HashMap::new();
    for (subject, sequence) in receiver.first_arrivals() {
        arrived.entry(subject).or_default().push(sequence);
    }
    let events = rows.iter().map(|(_, count)| count).sum();
    let expected: BTreeMap<String, i64> = rows.into_iter().collect();
    let wrong = |(order, count): (&String, &i64)| {
        let got = arrived.get(order).cloned().unwrap_or_default();
        let whole: Vec<i64> = (1..=*count).collect();
        (got != whole).then(|| json!({ "order_id": order, "events": count, "arrived": got }))
    };
    Ok((events, expected.iter().filter_map(wrong).collect()))
}
