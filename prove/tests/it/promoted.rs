//! A Postgres and its synchronous standby, which the test promotes by hand. Every order that was answered 201 is on the new
//! primary, once, and a server that was replaced is used by nobody.

use prove::client::{Person, Request};
use prove::cluster::{Cluster, migrate};
use serde_json::json;
use servers::home::Home;
use servers::postgres::{Postgres, Stop};
use testkit::until::{until, until_some};
use tokio::task::JoinHandle;

use crate::bins;
use crate::shop::{Shop, order};

struct StandbyTest {
    shop: Shop,
    primary: Postgres,
    standby: Postgres,
}

impl StandbyTest {
    async fn start(apis: usize, workers: usize) -> Self {
        let home = Home::new(&std::env::temp_dir()).await.unwrap();
        let primary = Postgres::start(&home, &["fsync=off", "max_wal_size=1GB"]).await.unwrap();
        let standby = primary.standby("standby").await.unwrap();
        primary.commit_on(Some("standby")).await.unwrap();
        migrate(&home, bins(), primary.access()).await.unwrap();
        let cluster = Cluster::open_at(&home, primary.access(), bins(), apis, workers, &[]).await.unwrap();
        Self { shop: Shop::open(cluster).await, primary, standby }
    }

    /// Sends a request once and returns the status.
    fn asks(&self, (person, request): (Person, Request)) -> JoinHandle<u16> {
        let clients = self.shop.clients.clone();
        tokio::spawn(async move { clients.ask_once(0, &person, &request).await.expect("it is answered").status })
    }

    /// Waits until at least this many commits of the API wait for the standby. Its statistics may wait too.
    async fn commits_wait(&self, number: i64) {
        let waiting = "select count(*) >= $1 from pg_stat_activity
                        where wait_event = 'SyncRep' and application_name = 'millrace-api'";
        let all = async || sqlx::query_scalar(waiting).bind(number).fetch_one(&self.shop.cluster.db).await.ok();
        until_some("commits wait", async || all().await.filter(|all: &bool| *all)).await;
    }

    /// How many orders, adjustments and charges a query sees.
    async fn seen(&self) -> (i64, i64, i64) {
        let seen = "select (select count(*) from orders), (select count(*) from stock_movements where note = 'once'),
                           (select count(*) from simulated_charges)";
        until_some("Postgres answers", async || sqlx::query_as(seen).fetch_one(&self.shop.cluster.db).await.ok()).await
    }

    /// Promotes the standby, and leads everybody to it.
    async fn promote(&self) {
        self.standby.promote().await.unwrap();
        self.shop.cluster.lead_to(self.standby.addr());
    }

    async fn finish(mut self) {
        self.shop.check().await;
        self.close().await;
    }

    async fn close(mut self) {
        self.shop.cluster.close().await.unwrap();
        self.primary.stop(Stop::Immediate).await.unwrap();
        self.standby.stop(Stop::Immediate).await.unwrap();
        self.shop.cluster.home.remove().unwrap();
    }

    /// A figure of the first API's metrics; 0 if it has none.
    async fn metric(&self, name: &str) -> u64 {
        let addr = self.shop.cluster.apis[0].process.lock().await.metrics_addr().unwrap();
        let text = reqwest::get(format!("http://{addr}/metrics")).await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        line.unwrap_or_default()
    }
}

#[tokio::test]
async fn a_server_that_was_replaced_is_used_by_nobody_also_after_a_restart_of_everybody() {
    let system = StandbyTest::start(1, 1).await;
    let buyers = system.shop.buyers().await;
    system.shop.more_orders(10).await;
    system.primary.signal("STOP").await.unwrap();
    system.promote().await;
    system.shop.more_orders(10).await;
    assert_eq!(system.metric("millrace_database_timeline").await, 2);

    // The old primary wakes up and knows nothing. The load balancer leads to it, as HAProxy did with Patroni 3.0.2.
    system.primary.signal("CONT").await.unwrap();
    system.primary.commit_on(None).await.unwrap();
    system.shop.cluster.lead_to(system.primary.addr());
    let refused = "millrace_database_connections_refused_total{reason=\"old_timeline\"}";
    until("connections are refused", async || system.metric(refused).await > 0).await;
    let placed = system.shop.placed();
    // All processes start again. What they know now is in Redis.
    let (api, worker) = (&system.shop.cluster.apis[0], &system.shop.cluster.workers[0]);
    for member in [api, worker] {
        let mut process = member.process.lock().await;
        process.kill().await.unwrap();
        member.start_again(&mut process).await.unwrap();
    }
    until("connections are refused", async || system.metric(refused).await > 0).await;
    for member in [api, worker] {
        let log = member.process.lock().await.log();
        until("the log says why", async || std::fs::read_to_string(&log).unwrap().contains("was replaced")).await;
    }
    assert_eq!(system.shop.placed(), placed, "an order was placed on the old primary");

    system.shop.cluster.lead_to(system.standby.addr());
    system.shop.more_orders(10).await;
    system.shop.open.send_replace(false);
    buyers.join_all().await;
    system.finish().await;
}

#[tokio::test]
async fn a_standby_is_not_read() {
    let system = StandbyTest::start(1, 0).await;
    system.shop.cluster.lead_to(system.standby.addr());
    let refused = "millrace_database_connections_refused_total{reason=\"standby\"}";
    let buyer = system.shop.staff.clone();
    let status = async || system.asks((buyer.clone(), Request::get("/v1/orders"))).await.unwrap();
    until("the API answers nothing", async || status().await == 503).await;
    assert!(system.metric(refused).await > 0);
    system.shop.cluster.lead_to(system.primary.addr());
    until("the API answers again", async || status().await == 200).await;
    system.close().await;
}

impl StandbyTest {
    /// The order that each event of the feed is about, from a cursor on until nothing lies behind it. Waits until an
    /// order is among them, if one is named. Returns the cursor at the end.
    async fn feed(&mut self, mut cursor: Option<String>, wanted: Option<&str>) -> (Vec<String>, String) {
        let mut told = Vec::new();
        loop {
            let after = cursor.as_ref().map_or_else(String::new, |cursor| format!("&after={cursor}"));
            let asked = Request::get(&format!("/v1/events?types=order.placed&limit=500&wait=1{after}"));
            let page = self.shop.clients.done(&mut self.shop.staff, &asked).await.unwrap();
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
    let mut buyer = system.shop.clients.register("buyer@prove.test", 2).await.unwrap();
    let clients = system.shop.clients.clone();
    let mut buy = async || {
        let placed = clients.ask(&mut buyer, &order("SPREAD-1")).await.unwrap();
        placed.body["id"].as_str().unwrap().to_owned()
    };
    let first = buy().await;
    let (_, replicated) = system.feed(None, Some(&first)).await;
    // These commits never reach the standby, but a reader sees their events.
    system.primary.commit_on(None).await.unwrap();
    system.standby.stop(Stop::Fast).await.unwrap();
    let mut lost = String::new();
    for _ in 0..5 {
        lost = buy().await;
    }
    let (told, seen) = system.feed(Some(replicated.clone()), Some(&lost)).await;
    assert_eq!(told.len(), 5);
    system.primary.stop(Stop::Immediate).await.unwrap();
    system.standby.start_again().await.unwrap();
    system.promote().await;

    let (second, third) = (buy().await, buy().await);
    let (told, _) = system.feed(Some(seen), Some(&third)).await;
    assert_eq!(told, [second.clone(), third.clone()], "the reader was further than the new primary");
    let (told, _) = system.feed(Some(replicated), Some(&third)).await;
    assert_eq!(told, [second, third]);
    system.close().await;
}

#[tokio::test]
async fn nothing_is_promised_that_the_standby_does_not_have() {
    let mut system = StandbyTest::start(1, 1).await;
    let buyer = system.shop.clients.register("buyer@prove.test", 2).await.unwrap();
    let inventory =
        system.shop.clients.done(&mut system.shop.staff, &Request::get("/v1/inventory?limit=1")).await.unwrap();
    let adjustments = format!("/v1/inventory/{}/adjustments", inventory["data"][0]["id"].as_str().unwrap());
    let received = json!({ "delta": 1, "reason": "received", "note": "once" });
    let adjustment = Request::post(&adjustments, "adjusted once".to_owned(), received);
    let asked = [(buyer, order("SPREAD-1")), (system.shop.staff.clone(), adjustment)];

    system.standby.signal("STOP").await.unwrap();
    let [ordered, adjusted] = asked.clone().map(|one| system.asks(one));
    // The answer takes 8 seconds, which is longer than `statement_timeout`: that limit does not end the wait for the
    // standby.
    assert_eq!(ordered.await.unwrap(), 504);
    system.commits_wait(2).await;
    assert_eq!(system.seen().await, (0, 0, 0));

    // After a crash Postgres shows the commits that waited, without waiting again. The repeated requests find them.
    system.primary.stop(Stop::Immediate).await.unwrap();
    system.primary.start_again().await.unwrap();
    assert_eq!(adjusted.await.unwrap(), 504);
    assert_eq!(system.seen().await, (1, 1, 0));
    let again = asked.clone().map(|one| system.asks(one));
    system.commits_wait(2).await;
    assert!(again.iter().all(|one| !one.is_finished()));

    system.standby.signal("CONT").await.unwrap();
    for (one, answered) in asked.into_iter().zip(again) {
        // On a slow machine the eight seconds were over before the standby went on. A client then asks once more.
        let status = match answered.await.unwrap() {
            504 => system.asks(one).await.unwrap(),
            status => status,
        };
        assert_eq!(status, 201);
    }
    system.primary.stop(Stop::Immediate).await.unwrap();
    system.promote().await;
    system.shop.assert_all_were_answered();
    system.finish().await;
}
