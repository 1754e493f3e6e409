//! Processes and servers are killed at various points. Every order that was answered 201 is still delivered, and
//! charged once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prove::client::{Clients, Person, Request};
use prove::cluster::{Cluster, LEASE, ProcessRef, STAFF};

use prove::catalog::Catalog;
use serde_json::{Value, json};
use servers::postgres::Stop;
use testkit::until::until;
use uuid::Uuid;

use crate::bins;

/// Longer than any step here takes.
const TIMEOUT: Duration = Duration::from_mins(1);

pub struct TestCluster {
    pub cluster: Arc<Cluster>,
    pub clients: Clients,
    pub staff: Person,
    pub buyer: Person,
    pub orders: Vec<String>,
}

impl TestCluster {
    /// One API and two workers.
    async fn start() -> Self {
        Self::of(Cluster::open(&std::env::temp_dir(), bins(), 1, 2).await.unwrap()).await
    }

    pub async fn of(cluster: Cluster) -> Self {
        let cluster = Arc::new(cluster);
        let clients = Clients::new(cluster.clone()).unwrap();
        clients.until.send_replace(Some(tokio::time::Instant::now() + TIMEOUT));
        let mut staff = clients.log_in(STAFF, 1).await.unwrap();
        Catalog::open(&clients, &mut staff).await.unwrap();
        let buyer = clients.register("buyer@prove.test", 2).await.unwrap();
        Self { cluster, clients, staff, buyer, orders: Vec::new() }
    }

    /// Places an order and returns its id.
    pub async fn order(&mut self, token: &str) -> String {
        let placed = self.clients.done(&mut self.buyer, &order(token)).await.unwrap();
        self.placed(&placed)
    }

    pub fn placed(&mut self, order: &Value) -> String {
        let id = order["id"].as_str().unwrap().to_owned();
        self.orders.push(id.clone());
        id
    }

    /// Waits until a query returns true. The database may be down in between.
    async fn until(&self, what: &str, sql: &'static str, bind: &str) {
        let found = async || sqlx::query_scalar::<_, bool>(sql).bind(bind).fetch_one(&self.cluster.db).await;
        until(what, async || matches!(found().await, Ok(true))).await;
    }

    /// Waits until a worker runs the payment of an order. Returns that worker.
    async fn payer(&self, order: &str) -> ProcessRef {
        let running = "select exists (select from jobs where order_id = $1::uuid and kind = 'process_payment'
                                         and state = 'running')";
        self.until("its payment runs", running, order).await;
        let pid: i32 = sqlx::query_scalar(
            "select pid from workers where id = (select worker from jobs where order_id = $1::uuid
                                                    and kind = 'process_payment')",
        )
        .bind(order)
        .fetch_one(&self.cluster.db)
        .await
        .unwrap();
        for index in 0..self.cluster.workers.len() {
            if self.cluster.workers[index].process.lock().await.pid() == Some(pid.unsigned_abs()) {
                return ProcessRef::Worker(index);
            }
        }
        panic!("no worker has the process id {pid}");
    }

    async fn taken_again(&self, order: &str) {
        let taken = "select exists (select from jobs where order_id = $1::uuid and kind = 'process_payment'
                                       and attempt >= 2 and started_at is not null and state <> 'ready')";
        self.until("its payment is with another worker", taken, order).await;
    }

    /// Checks that every order is delivered and charged once at the provider, and that the audit finds nothing. Then
    /// stops all processes.
    pub async fn finish(mut self) {
        for order in &self.orders {
            let delivered = "select status = 'delivered' from orders where id = $1::uuid";
            self.until("it is delivered", delivered, order).await;
        }
        let charged: i64 = sqlx::query_scalar("select count(*) from simulated_charges where state = 'charged'")
            .fetch_one(&self.cluster.db)
            .await
            .unwrap();
        assert_eq!(charged, i64::try_from(self.orders.len()).unwrap());
        let report = self.clients.full_audit(&mut self.staff).await.unwrap();
        assert_eq!(report["violations"], Value::from(0), "{report:#}");
        assert!(self.cluster.ended_by_themselves().await.unwrap().is_empty());
        self.cluster.close().await.unwrap();
        self.cluster.home.remove().unwrap();
    }
}

/// An order for one unit of a product that does not sell out.
pub fn order(token: &str) -> Request {
    let body = json!({
        "items": [{ "sku": "SPREAD-0", "quantity": 1 }], "payment_token": token, "shipping_address": { "city": "Bath" },
    });
    Request::post("/v1/orders", Uuid::now_v7().to_string(), body)
}

#[tokio::test]
async fn a_worker_killed_while_it_pays_loses_its_job_to_another_within_the_lease_and_2_s() {
    let mut system = TestCluster::start().await;
    let order = system.order("tok_slow_1500").await;
    let payer = system.payer(&order).await;
    let killed = Instant::now();
    system.cluster.member(payer).process.lock().await.kill().await.unwrap();
    system.taken_again(&order).await;
    assert!(killed.elapsed() < LEASE + Duration::from_secs(2), "{:?}", killed.elapsed());
    system.finish().await;
}

#[tokio::test]
async fn a_worker_frozen_past_its_lease_finds_its_job_done_by_another() {
    let mut system = TestCluster::start().await;
    let order = system.order("tok_slow_1000").await;
    let payer = system.payer(&order).await;
    system.cluster.member(payer).process.lock().await.signal("STOP").await.unwrap();
    let paid = "select status in ('paid', 'shipped', 'delivered') from orders where id = $1::uuid";
    system.until("another worker records the payment", paid, &order).await;
    system.cluster.member(payer).process.lock().await.signal("CONT").await.unwrap();
    system.finish().await;
}

#[tokio::test]
async fn an_api_killed_right_after_its_answer_has_promised_nothing_too_much() {
    let mut system = TestCluster::start().await;
    system.order("tok_ok").await;
    let api = &system.cluster.apis[0];
    let mut process = api.process.lock().await;
    process.kill().await.unwrap();
    api.start_again(&mut process).await.unwrap();
    drop(process);
    system.finish().await;
}

#[tokio::test]
async fn a_crash_of_postgres_is_survived_by_everybody_and_by_every_order() {
    let mut system = TestCluster::start().await;
    for token in ["tok_ok", "tok_slow_500", "tok_timeout_charged", "tok_flaky_2"] {
        system.order(token).await;
    }
    let mut postgres = system.cluster.postgres().lock().await;
    postgres.stop(Stop::Immediate).await.unwrap();
    postgres.start_again().await.unwrap();
    drop(postgres);
    system.order("tok_ok").await;
    system.finish().await;
}

#[tokio::test]
async fn a_worker_that_is_asked_to_stop_while_postgres_is_away_ends_well() {
    let mut system = TestCluster::start().await;
    system.order("tok_slow_500").await;
    system.cluster.postgres().lock().await.stop(Stop::Immediate).await.unwrap();
    let worker = &system.cluster.workers[0];
    let mut process = worker.process.lock().await;
    process.signal("TERM").await.unwrap();
    assert!(process.ended().await.unwrap().success());
    system.cluster.postgres().lock().await.start_again().await.unwrap();
    worker.start_again(&mut process).await.unwrap();
    drop(process);
    system.finish().await;
}

#[tokio::test]
async fn orders_are_carried_out_without_redis_and_when_it_is_back() {
    let mut system = TestCluster::start().await;
    system.order("tok_slow_500").await;
    system.cluster.redis.lock().await.kill().await.unwrap();
    let order = system.order("tok_ok").await;
    let delivered = "select status = 'delivered' from orders where id = $1::uuid";
    system.until("it is delivered without Redis", delivered, &order).await;
    system.cluster.redis.lock().await.start_again().await.unwrap();
    system.order("tok_ok").await;
    system.finish().await;
}
