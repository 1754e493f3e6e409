//! Two Postgres servers. The standby is promoted while orders are placed. Every order that was answered 201 is on the
//! new primary, once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use prove::catalog::Catalog;
use prove::client::{Clients, Person, Request};
use prove::cluster::{Cluster, STAFF};
use serde_json::{Value, json};
use servers::postgres::{Postgres, Stop};
use sqlx::{Connection, PgConnection};
use testkit::until::until_some;
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::bins;

/// Longer than any step here takes.
const TIMEOUT: Duration = Duration::from_mins(1);
/// From the end of the promotion to the first order on the new primary. It takes half a second until a process asks all
/// servers, a second for those that do not answer, and the time of new connections. Doubled, because the machine is
/// busy.
const FOUND_WITHIN: Duration = Duration::from_secs(4);
const BUYERS: u64 = 6;

struct StandbyTest {
    cluster: Arc<Cluster>,
    clients: Arc<Clients>,
    staff: Person,
    /// The buyers buy while this is true.
    open: watch::Sender<bool>,
}

impl StandbyTest {
    async fn start(apis: usize, workers: usize) -> Self {
        let cluster = Arc::new(Cluster::open_on_two(&std::env::temp_dir(), bins(), apis, workers).await.unwrap());
        let clients = Arc::new(Clients::new(cluster.clone()).unwrap());
        clients.until.send_replace(Some(tokio::time::Instant::now() + TIMEOUT));
        let mut staff = clients.log_in(STAFF, 1).await.unwrap();
        Catalog::open(&clients, &mut staff).await.unwrap();
        Self { cluster, clients, staff, open: watch::Sender::new(true) }
    }

    fn standby(&self) -> &Mutex<Postgres> {
        self.cluster.standby.as_ref().unwrap()
    }

    /// Buyers who place one order after another, and repeat each request until it is answered.
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

    /// Waits until this many more orders were answered 201.
    async fn more_orders(&self, more: usize) {
        let placed = || self.clients.history().placed_at.len();
        let before = placed();
        until_some("more orders are placed", async || (placed() >= before + more).then_some(())).await;
    }

    /// Sends a request once and returns the status.
    fn asks(&self, (person, request): (Person, Request)) -> JoinHandle<u16> {
        let clients = self.clients.clone();
        tokio::spawn(async move { clients.ask_once(0, &person, &request).await.expect("it is answered").status })
    }

    /// Waits until at least this many commits of the API wait for the standby. Its statistics may wait too.
    async fn commits_wait(&self, number: i64) {
        let waiting = "select count(*) >= $1 from pg_stat_activity
                        where wait_event = 'SyncRep' and application_name = 'millrace-api'";
        let all = async || sqlx::query_scalar(waiting).bind(number).fetch_one(&self.cluster.db).await.ok();
        until_some("commits wait", async || all().await.filter(|all: &bool| *all)).await;
    }

    /// How many orders, adjustments and charges a query sees.
    async fn seen(&self) -> (i64, i64, i64) {
        let seen = "select (select count(*) from orders), (select count(*) from stock_movements where note = 'once'),
                           (select count(*) from simulated.charges)";
        until_some("Postgres answers", async || sqlx::query_as(seen).fetch_one(&self.cluster.db).await.ok()).await
    }

    /// Promotes the standby, and checks that API and workers find it in time.
    async fn promote(&self) {
        self.standby().lock().await.promote().await.unwrap();
        let promoted = Instant::now();
        self.more_orders(1).await;
        assert!(promoted.elapsed() < FOUND_WITHIN, "{:?}", promoted.elapsed());
    }

    /// Checks that every order that was answered 201 is on the new primary once, is delivered, and was charged once at
    /// the provider; that no answer was unexpected; and that the audit finds nothing.
    async fn finish(mut self) {
        let ids = self.clients.history().order_ids();
        let delivered = "select count(*) from orders where id = any($1) and status = 'delivered'";
        let all = async || sqlx::query_scalar(delivered).bind(&ids).fetch_one(&self.cluster.db).await.ok();
        until_some("all are delivered", async || all().await.filter(|found: &i64| *found == ids.len() as i64)).await;
        let counts =
            "select (select count(*) from orders), (select count(*) from simulated.charges where state = 'charged')";
        let counts: (i64, i64) = sqlx::query_as(counts).fetch_one(&self.cluster.db).await.unwrap();
        assert_eq!(counts, (ids.len() as i64, ids.len() as i64));
        {
            let history = self.clients.history();
            assert!(history.unexpected.is_empty() && history.contradictions.is_empty(), "{history:#?}");
            assert_eq!(history.unanswered, 0, "{:?}", history.answers);
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
    let system = StandbyTest::start(2, 2).await;
    let mut primary = system.cluster.postgres.lock().await;
    // The standby may start after all other processes.
    let mut standby = system.standby().lock().await;
    primary.commit_on(None).await.unwrap();
    standby.stop(Stop::Fast).await.unwrap();
    let buyers = system.buyers().await;
    system.more_orders(10).await;
    standby.start_again().await.unwrap();
    primary.commit_on(Some("standby")).await.unwrap();
    drop(standby);

    system.more_orders(20).await;
    primary.stop(Stop::Immediate).await.unwrap();
    drop(primary);
    system.promote().await;
    system.more_orders(20).await;
    system.open.send_replace(false);
    buyers.join_all().await;
    system.finish().await;
}

#[tokio::test]
async fn a_primary_that_was_frozen_during_the_promotion_and_wakes_up_is_used_by_nobody() {
    let system = StandbyTest::start(2, 2).await;
    let buyers = system.buyers().await;
    system.more_orders(20).await;
    let old = system.cluster.postgres.lock().await;
    old.signal("STOP").await.unwrap();
    system.promote().await;

    old.signal("CONT").await.unwrap();
    let mut asking = PgConnection::connect(&old.url()).await.unwrap();
    let woken: String = sqlx::query_scalar("select clock_timestamp()::text").fetch_one(&mut asking).await.unwrap();
    system.more_orders(40).await;
    system.open.send_replace(false);
    buyers.join_all().await;

    // Every process still connects to the old primary to ask for its role.
    let came = "select count(*) from pg_stat_activity
                 where application_name like 'millrace-%' and application_name <> 'millrace-watch'
                   and backend_start > $1::timestamptz";
    let came: i64 = sqlx::query_scalar(came).bind(&woken).fetch_one(&mut asking).await.unwrap();
    assert_eq!(came, 0);
    let theirs = "select array(select id from orders)";
    let there: Vec<Uuid> = sqlx::query_scalar(theirs).fetch_one(&mut asking).await.unwrap();
    let here: Vec<Uuid> = sqlx::query_scalar(theirs).fetch_one(&system.cluster.db).await.unwrap();
    assert!(there.iter().all(|id| here.contains(id)) && there.len() + 40 <= here.len());
    asking.close().await.unwrap();
    drop(old);
    system.finish().await;
}

impl StandbyTest {
    /// The order that each event of the feed is about, from a cursor on until nothing lies behind it. Waits until an
    /// order is among them, if one is named. Returns the cursor at the end.
    async fn feed(&mut self, mut cursor: Option<String>, wanted: Option<&str>) -> (Vec<String>, String) {
        let mut told = Vec::new();
        loop {
            let after = cursor.as_ref().map_or_else(String::new, |cursor| format!("&after={cursor}"));
            let asked = Request::get(&format!("/v1/events?types=order.placed&limit=500&wait=1{after}"));
            let page = self.clients.done(&mut self.staff, &asked).await.unwrap();
            let events = page["data"].as_array().unwrap();
            told.extend(events.iter().map(|event| event["subject"]["id"].as_str().unwrap().to_owned()));
            let next = page["next_cursor"].as_str().unwrap().to_owned();
            if page["caught_up"] == true && wanted.is_none_or(|wanted| told.iter().any(|id| id == wanted)) {
                return (told, next);
            }
            cursor = Some(next);
        }
    }
}

#[tokio::test]
async fn a_promotion_that_loses_commits_lets_no_reader_of_the_feed_skip_an_event() {
    let mut system = StandbyTest::start(1, 1).await;
    let mut buyer = system.clients.register("buyer@prove.test", 2).await.unwrap();
    let clients = system.clients.clone();
    let mut buy = async || {
        let placed = clients.ask(&mut buyer, &order("SPREAD-1")).await.unwrap();
        placed.body["id"].as_str().unwrap().to_owned()
    };
    let first = buy().await;
    let (_, replicated) = system.feed(None, Some(&first)).await;
    // These commits never reach the standby, but a reader sees their events.
    system.cluster.postgres.lock().await.commit_on(None).await.unwrap();
    system.standby().lock().await.stop(Stop::Fast).await.unwrap();
    let mut lost = String::new();
    for _ in 0..5 {
        lost = buy().await;
    }
    let (told, seen) = system.feed(Some(replicated.clone()), Some(&lost)).await;
    assert_eq!(told.len(), 5);
    system.cluster.postgres.lock().await.stop(Stop::Immediate).await.unwrap();
    system.standby().lock().await.start_again().await.unwrap();
    system.standby().lock().await.promote().await.unwrap();

    let (second, third) = (buy().await, buy().await);
    let (told, _) = system.feed(Some(seen), Some(&third)).await;
    assert_eq!(told, [second.clone(), third.clone()], "the reader was further than the new primary");
    let (told, _) = system.feed(Some(replicated), Some(&third)).await;
    assert_eq!(told, [second, third]);
    system.cluster.close().await.unwrap();
    system.cluster.home.remove().unwrap();
}

#[tokio::test]
async fn nothing_is_promised_that_the_standby_does_not_have() {
    let mut system = StandbyTest::start(1, 1).await;
    let buyer = system.clients.register("buyer@prove.test", 2).await.unwrap();
    let inventory = system.clients.done(&mut system.staff, &Request::get("/v1/inventory?limit=1")).await.unwrap();
    let adjustments = format!("/v1/inventory/{}/adjustments", inventory["data"][0]["id"].as_str().unwrap());
    let received = json!({ "delta": 1, "reason": "received", "note": "once" });
    let adjustment = Request::post(&adjustments, "adjusted once".to_owned(), received);
    let asked = [(buyer, order("SPREAD-1")), (system.staff.clone(), adjustment)];

    system.standby().lock().await.signal("STOP").await.unwrap();
    let [ordered, adjusted] = asked.clone().map(|one| system.asks(one));
    // The answer takes 8 seconds, which is longer than `statement_timeout`: that limit does not end the wait for the
    // standby.
    assert_eq!(ordered.await.unwrap(), 504);
    system.commits_wait(2).await;
    assert_eq!(system.seen().await, (0, 0, 0));

    // After a crash Postgres shows the commits that waited, without waiting again. The repeated requests find them.
    let mut primary = system.cluster.postgres.lock().await;
    primary.stop(Stop::Immediate).await.unwrap();
    primary.start_again().await.unwrap();
    drop(primary);
    assert_eq!(adjusted.await.unwrap(), 504);
    assert_eq!(system.seen().await, (1, 1, 0));
    let again = asked.clone().map(|one| system.asks(one));
    system.commits_wait(2).await;
    assert!(again.iter().all(|one| !one.is_finished()));

    system.standby().lock().await.signal("CONT").await.unwrap();
    for (one, answered) in asked.into_iter().zip(again) {
        // On a slow machine the eight seconds were over before the standby went on. A client then asks once more.
        let status = match answered.await.unwrap() {
            504 => system.asks(one).await.unwrap(),
            status => status,
        };
        assert_eq!(status, 201);
    }
    system.cluster.postgres.lock().await.stop(Stop::Immediate).await.unwrap();
    system.standby().lock().await.promote().await.unwrap();
    system.finish().await;
}
