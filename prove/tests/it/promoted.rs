//! Two servers of Postgres, the second one promoted in the middle of work: what was answered 201 is there, once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use prove::client::{Clients, Person, Request};
use prove::cluster::{Cluster, STAFF};
use prove::shop::Shop;
use serde_json::{Value, json};
use servers::postgres::{Postgres, Stop};
use sqlx::{Connection, PgConnection};
use testkit::until::until_some;
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::bins;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(1);
/// From the end of the promotion to the first order on the new primary: half a second until all are asked, a second
/// for those that do not answer, and the new connections. Twice that, because the machine is busy.
const FOUND_WITHIN: Duration = Duration::from_secs(4);
const BUYERS: u64 = 6;

struct Stage {
    cluster: Arc<Cluster>,
    clients: Arc<Clients>,
    staff: Person,
    /// While it is, the buyers buy.
    open: watch::Sender<bool>,
}

impl Stage {
    async fn set(apis: usize, workers: usize) -> Self {
        let cluster = Arc::new(Cluster::open_on_two(&std::env::temp_dir(), bins(), apis, workers).await.unwrap());
        let clients = Arc::new(Clients::new(cluster.clone()).unwrap());
        clients.until.send_replace(Some(tokio::time::Instant::now() + PATIENCE));
        let mut staff = clients.log_in(STAFF, 1).await.unwrap();
        Shop::open(&clients, &mut staff).await.unwrap();
        Self { cluster, clients, staff, open: watch::Sender::new(true) }
    }

    fn standby(&self) -> &Mutex<Postgres> {
        self.cluster.standby.as_ref().unwrap()
    }

    /// People who order one thing after the other, and repeat each request until they know.
    async fn buyers(&self) -> JoinSet<()> {
        let emails: Vec<String> = (0..BUYERS).map(|number| format!("buyer-{number}@prove.test")).collect();
        let people = join_all(emails.iter().zip(0..).map(|(email, seed)| self.clients.register(email, seed))).await;
        let mut buyers = JoinSet::new();
        for (number, me) in people.into_iter().enumerate() {
            let (clients, open, mut me) = (self.clients.clone(), self.open.subscribe(), me.unwrap());
            buyers.spawn(async move {
                while *open.borrow() {
                    clients.ask(&mut me, &order(&format!("SPREAD-{number}"))).await.expect("it is answered in time");
                }
            });
        }
        buyers
    }

    /// Waits until so many more orders were answered 201.
    async fn more_orders(&self, more: usize) {
        let placed = || self.clients.memory().placed_at.len();
        let before = placed();
        until_some("more orders are placed", async || (placed() >= before + more).then_some(())).await;
    }

    /// Asks once, and answers the status.
    fn asks(&self, (person, request): (Person, Request)) -> JoinHandle<u16> {
        let clients = self.clients.clone();
        tokio::spawn(async move { clients.ask_once(0, &person, &request).await.expect("it is answered").status })
    }

    /// Waits until so many commits wait for the standby, of requests that somebody has made.
    async fn commits_wait(&self, number: i64) {
        let waiting = "select count(*) = $1 from pg_stat_activity
                        where wait_event = 'SyncRep' and application_name = 'millrace-api'";
        let all = async || sqlx::query_scalar(waiting).bind(number).fetch_one(&self.cluster.db).await.ok();
        until_some("commits wait", async || all().await.filter(|all: &bool| *all)).await;
    }

    /// How many orders, adjustments and charges there are to be seen.
    async fn seen(&self) -> (i64, i64, i64) {
        let seen = "select (select count(*) from orders), (select count(*) from stock_movements where note = 'once'),
                           (select count(*) from simulated.charges)";
        until_some("Postgres answers", async || sqlx::query_as(seen).fetch_one(&self.cluster.db).await.ok()).await
    }

    /// Promotes the standby, and holds API and workers to finding it in time.
    async fn promote(&self) {
        self.standby().lock().await.promote().await.unwrap();
        let promoted = Instant::now();
        self.more_orders(1).await;
        assert!(promoted.elapsed() < FOUND_WITHIN, "{:?}", promoted.elapsed());
    }

    /// Every order that was answered 201 is on the new primary, once, and delivered, paid for once in the provider's
    /// books; nobody was told anything strange; and the audit finds nothing.
    async fn ends_well(mut self) {
        let ids = self.clients.memory().order_ids();
        let delivered = "select count(*) from orders where id = any($1) and status = 'delivered'";
        let all = async || sqlx::query_scalar(delivered).bind(&ids).fetch_one(&self.cluster.db).await.ok();
        until_some("all are delivered", async || all().await.filter(|found: &i64| *found == ids.len() as i64)).await;
        let counts =
            "select (select count(*) from orders), (select count(*) from simulated.charges where state = 'charged')";
        let counts: (i64, i64) = sqlx::query_as(counts).fetch_one(&self.cluster.db).await.unwrap();
        assert_eq!(counts, (ids.len() as i64, ids.len() as i64));
        {
            let memory = self.clients.memory();
            assert!(memory.strange.is_empty() && memory.contradictions.is_empty(), "{memory:#?}");
            assert_eq!(memory.unanswered, 0, "{:?}", memory.answers);
        }
        let report = self.clients.full_audit(&mut self.staff).await.unwrap();
        assert_eq!(report["violations"], Value::from(0), "{report:#}");
        assert!(self.cluster.ended_by_themselves().await.unwrap().is_empty());
        self.cluster.close().await.unwrap();
        self.cluster.home.remove().unwrap();
    }
}

fn order(sku: &str) -> Request {
    let body = json!({
        "items": [{ "sku": sku, "quantity": 1 }], "payment_token": "tok_ok", "shipping_address": { "city": "Bath" },
    });
    Request::post("/v1/orders", Uuid::now_v7().to_string(), body)
}

#[tokio::test]
async fn a_primary_that_is_killed_is_replaced_without_a_restart_and_no_order_is_lost() {
    let stage = Stage::set(2, 2).await;
    let mut primary = stage.cluster.postgres.lock().await;
    // A standby may come later than everybody else.
    let mut standby = stage.standby().lock().await;
    primary.commit_on(None).await.unwrap();
    standby.stop(Stop::Fast).await.unwrap();
    let buyers = stage.buyers().await;
    stage.more_orders(10).await;
    standby.start_again().await.unwrap();
    primary.commit_on(Some("standby")).await.unwrap();
    drop(standby);

    stage.more_orders(20).await;
    primary.stop(Stop::Immediate).await.unwrap();
    drop(primary);
    stage.promote().await;
    stage.more_orders(20).await;
    stage.open.send_replace(false);
    buyers.join_all().await;
    stage.ends_well().await;
}

#[tokio::test]
async fn a_primary_that_was_frozen_during_the_promotion_and_wakes_up_is_used_by_nobody() {
    let stage = Stage::set(2, 2).await;
    let buyers = stage.buyers().await;
    stage.more_orders(20).await;
    let old = stage.cluster.postgres.lock().await;
    old.signal("STOP").await.unwrap();
    stage.promote().await;

    old.signal("CONT").await.unwrap();
    let mut asking = PgConnection::connect(&old.url()).await.unwrap();
    let woken: String = sqlx::query_scalar("select clock_timestamp()::text").fetch_one(&mut asking).await.unwrap();
    stage.more_orders(40).await;
    stage.open.send_replace(false);
    buyers.join_all().await;

    // Every process goes on watching it.
    let came = "select count(*) from pg_stat_activity
                 where application_name like 'millrace-%' and application_name <> 'millrace-watch'
                   and backend_start > $1::timestamptz";
    let came: i64 = sqlx::query_scalar(came).bind(&woken).fetch_one(&mut asking).await.unwrap();
    assert_eq!(came, 0);
    let theirs = "select array(select id from orders)";
    let there: Vec<Uuid> = sqlx::query_scalar(theirs).fetch_one(&mut asking).await.unwrap();
    let here: Vec<Uuid> = sqlx::query_scalar(theirs).fetch_one(&stage.cluster.db).await.unwrap();
    assert!(there.iter().all(|id| here.contains(id)) && there.len() + 40 <= here.len());
    asking.close().await.unwrap();
    drop(old);
    stage.ends_well().await;
}

#[tokio::test]
async fn nothing_is_promised_that_the_standby_does_not_have() {
    let mut stage = Stage::set(1, 1).await;
    let buyer = stage.clients.register("buyer@prove.test", 2).await.unwrap();
    let inventory = stage.clients.done(&mut stage.staff, &Request::get("/v1/inventory?limit=1")).await.unwrap();
    let adjustments = format!("/v1/inventory/{}/adjustments", inventory["data"][0]["id"].as_str().unwrap());
    let received = json!({ "delta": 1, "reason": "received", "note": "once" });
    let adjustment = Request::post(&adjustments, "adjusted once".to_owned(), received);
    let asked = [(buyer, order("SPREAD-1")), (stage.staff.clone(), adjustment)];

    stage.standby().lock().await.signal("STOP").await.unwrap();
    let [ordered, adjusted] = asked.clone().map(|one| stage.asks(one));
    // Eight seconds, longer than a statement may take: the limit of statements does not end the wait for the standby.
    assert_eq!(ordered.await.unwrap(), 504);
    stage.commits_wait(2).await;
    assert_eq!(stage.seen().await, (0, 0, 0));

    // After a crash Postgres shows what waited, without waiting again. The repeated requests find it.
    let mut primary = stage.cluster.postgres.lock().await;
    primary.stop(Stop::Immediate).await.unwrap();
    primary.start_again().await.unwrap();
    drop(primary);
    assert_eq!(adjusted.await.unwrap(), 504);
    assert_eq!(stage.seen().await, (1, 1, 0));
    let again = asked.map(|one| stage.asks(one));
    stage.commits_wait(2).await;
    assert!(again.iter().all(|one| !one.is_finished()));

    stage.standby().lock().await.signal("CONT").await.unwrap();
    for told in again {
        assert_eq!(told.await.unwrap(), 201);
    }
    stage.cluster.postgres.lock().await.stop(Stop::Immediate).await.unwrap();
    stage.standby().lock().await.promote().await.unwrap();
    stage.ends_well().await;
}
