//! The doorbell may be lost at any time, and every job still runs.

use std::process::Stdio;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use testkit::app::until;
use testkit::worker_process::{Shop, Worker};

const DONE: &str = "select count(*) from jobs where kind = 'noop' and state = 'done'";

/// A Redis server of its own, to be killed and flushed.
pub struct Redis {
    port: u16,
    child: Child,
}

impl Redis {
    pub async fn start() -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap().port();
        let redis = Self { port, child: Self::spawn(port) };
        redis.answers().await;
        redis
    }

    fn spawn(port: u16) -> Child {
        Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp"])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed by ./dev test")
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    async fn answers(&self) {
        let client = ::redis::Client::open(self.url()).unwrap();
        until("Redis answers", async || client.get_multiplexed_async_connection().await.is_ok()).await;
    }

    pub async fn command(&self, name: &str) {
        self.ask::<()>(&::redis::cmd(name)).await;
    }

    async fn ask<T: ::redis::FromRedisValue>(&self, command: &::redis::Cmd) -> T {
        let client = ::redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        command.query_async(&mut connection).await.unwrap()
    }

    /// How often a command was used.
    pub async fn calls(&self, name: &str) -> u64 {
        let info: String = self.ask(::redis::cmd("INFO").arg("commandstats")).await;
        let line = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }

    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub async fn start_again(&mut self) {
        self.child = Self::spawn(self.port);
        self.answers().await;
    }
}

#[tokio::test]
async fn every_job_runs_while_redis_is_flushed_killed_and_started_again() {
    let mut redis = Redis::start().await;
    let shop = Shop::with_redis(Some(redis.url())).await;
    let _worker = Worker::start(&shop, &[]);
    let alice = shop.app.customer().await;
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push(shop.order(&alice, "tok_ok").await);
    }
    redis.command("FLUSHALL").await;
    orders.push(shop.order(&alice, "tok_flaky_1").await);
    redis.kill().await;
    for _ in 0..5 {
        orders.push(shop.order(&alice, "tok_ok").await);
    }
    for order in &orders {
        shop.reaches(&alice, order, "delivered").await;
    }
    redis.start_again().await;
    let last = shop.order(&alice, "tok_ok").await;
    shop.reaches(&alice, &last, "delivered").await;
    assert_eq!(shop.charges().await, (12, 0));
    shop.app.assert_clean().await;
}

#[tokio::test]
async fn a_backlog_runs_on_while_redis_is_flushed_and_is_rung_by_the_page() {
    let redis = Redis::start().await;
    let shop = Shop::with_redis(Some(redis.url())).await;
    shop.jobs("noop", "default", json!({ "wait_ms": 5 }), 5000).await;
    let _workers = [Worker::start(&shop, &[]), Worker::start(&shop, &[])];
    for done in [1000, 2500] {
        until("a part is done", async || shop.count(DONE).await >= done).await;
        redis.command("FLUSHALL").await;
    }
    let alice = shop.app.customer().await;
    let order = shop.order(&alice, "tok_ok").await;
    shop.reaches(&alice, &order, "delivered").await;
    shop.until_count("all are done", DONE, 5000).await;
    assert_eq!(shop.count("select count(*) from jobs where attempt <> 1").await, 0);
    let rings = redis.calls("zadd").await;
    assert!(rings < 500, "5,000 jobs were rung for by {rings} commands");
    shop.app.assert_clean().await;
}

#[tokio::test]
async fn a_full_set_that_was_emptied_is_rung_again_soon_and_not_only_by_the_sweep() {
    let redis = Redis::start().await;
    let shop = Shop::with_redis(Some(redis.url())).await;
    let alice = shop.app.customer().await;
    let fill = format!("for i = 1, 20000 do redis.call('ZADD', '{{{}}}:high', i, i) end", shop.prefix);
    redis.ask::<()>(::redis::cmd("EVAL").arg(fill).arg(0)).await;
    shop.order(&alice, "tok_ok").await;
    until("the set is seen to be full", async || redis.calls("zcard").await > 0).await;
    redis.command("FLUSHALL").await;

    // No worker runs, so nobody sweeps.
    let mut orders = 0;
    until("the API rings", async || {
        orders += 1;
        shop.order(&alice, "tok_ok").await;
        redis.ask::<i64>(&::redis::cmd("DBSIZE")).await > 0
    })
    .await;
    assert!(orders < 60, "it rang for order number {orders}");
}

#[tokio::test]
async fn without_redis_every_job_runs() {
    let shop = Shop::with_redis(None).await;
    let _worker = Worker::start(&shop, &[]);
    let alice = shop.app.customer().await;
    let order = shop.order(&alice, "tok_ok").await;
    shop.reaches(&alice, &order, "delivered").await;
    shop.jobs("noop", "low", json!({}), 100).await;
    shop.until_count("all are done", DONE, 100).await;
    shop.app.assert_clean().await;
}
