//! Redis has several servers, and the one that has the doorbell is lost while orders are placed. No order is lost,
//! requests stay fast, and the workers find the new server.

use std::time::{Duration, Instant};

use prove::client::Person;
use prove::cluster::Cluster;
use reqwest::Response;
use serde_json::Value;
use servers::home::Home;
use servers::redis_group::RedisGroup;
use testkit::until::until;

use crate::bins;
use crate::killed::{TestCluster, order};

const WORKERS: usize = 2;
/// The servers need about three seconds to elect another one. The rest is for our processes, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// A request may wait twice for a Redis that has just died, for 250 ms each.
const AT_ONCE: Duration = Duration::from_millis(1500);

struct RedisFailover {
    system: TestCluster,
    redis: RedisGroup,
    home: Home,
    http: reqwest::Client,
}

impl RedisFailover {
    async fn start(home: Home, redis: RedisGroup) -> Self {
        let url = redis.url();
        Self::start_with(home, redis, &url, "doorbell").await
    }

    async fn start_with(home: Home, redis: RedisGroup, url: &str, transport: &str) -> Self {
        let settings = [
            ("REDIS_URL", url),
            ("QUEUE_TRANSPORT", transport),
            ("RATE_LIMITS", "on"),
            ("RATE_LIMIT_QUERY", "1000/100m"),
        ];
        let cluster = Cluster::open_with(&std::env::temp_dir(), bins(), 2, WORKERS, &settings).await.unwrap();
        Self { system: TestCluster::of(cluster).await, redis, home, http: reqwest::Client::new() }
    }

    async fn get(&self, api: usize, person: &Person, path: &str) -> Response {
        let url = format!("http://{}{path}", self.system.cluster.apis[api].addr());
        let response = self.http.get(url).bearer_auth(&person.token).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {response:?}");
        response
    }

    /// How many requests of a class with a low limit this API would still accept.
    async fn remaining(&self, api: usize) -> u64 {
        let response = self.get(api, &self.system.staff, "/v1/inventory/movements?limit=1").await;
        response.headers()["ratelimit-remaining"].to_str().unwrap().parse().unwrap()
    }

    /// The node that has the doorbell, if all workers listen to it.
    async fn doorbell_node(&self) -> Option<usize> {
        let holder = self.redis.holder().await.unwrap()?;
        (self.redis.nodes[holder].listeners().await.unwrap() == WORKERS).then_some(holder)
    }

    async fn calls(&self, holder: usize, command: &str) -> u64 {
        self.redis.nodes[holder].calls(command).await.unwrap()
    }

    /// Checks that the APIs share rate limits, and that Redis has cached products.
    async fn check_sharing(&self) {
        until("both APIs use one bucket", async || self.remaining(0).await > self.remaining(1).await).await;
        let products = self.get(0, &self.system.buyer, "/v1/products?limit=20").await.json::<Value>().await.unwrap();
        for product in products["data"].as_array().unwrap() {
            let path = format!("/v1/products/{}", product["id"].as_str().unwrap());
            self.get(0, &self.system.buyer, &path).await;
        }
        let kept = async || {
            let mut kept = 0;
            for node in &self.redis.nodes {
                if let Ok(keys) = node.ask(&["--scan", "--pattern", "millrace:cache:*"]).await {
                    kept += usize::from(!keys.is_empty());
                }
            }
            kept
        };
        assert!(kept().await >= self.redis.nodes.len() / 2, "products are cached by {} nodes", kept().await);
    }

    /// Places orders while the node with the doorbell is lost, until the workers listen to another node. Returns that
    /// node.
    async fn place_orders_until_failover(&mut self, lost: usize) -> usize {
        let since = Instant::now();
        let mut slowest = Duration::ZERO;
        let mut pulse = tokio::time::interval(Duration::from_millis(100));
        let doorbell_node = loop {
            pulse.tick().await;
            for api in [0, 1] {
                let asked = Instant::now();
                let placed =
                    self.system.clients.ask_once(api, &self.system.buyer, &order("tok_slow_100")).await.unwrap();
                assert_eq!(placed.status, 201, "{placed:?}");
                self.system.placed(&placed.body);
                let listed = self.get(api, &self.system.buyer, "/v1/orders?limit=1").await;
                assert!(listed.headers().contains_key("ratelimit-remaining"), "{listed:?}");
                slowest = slowest.max(asked.elapsed());
            }
            assert!(since.elapsed() < SOON, "no worker listens yet");
            if let Some(holder) = self.doorbell_node().await.filter(|holder| *holder != lost) {
                break holder;
            }
        };
        eprintln!("listened to after {:?}; slowest pair of requests {slowest:?}", since.elapsed());
        assert!(slowest < AT_ONCE, "{slowest:?}");
        doorbell_node
    }

    /// Checks that the doorbell of a new order is rung at this node and that a worker pops it there.
    async fn check_doorbell_at(&mut self, holder: usize) {
        let (rung, taken) = (self.calls(holder, "zadd").await, self.calls(holder, "bzmpop").await);
        self.system.order("tok_ok").await;
        until("the doorbell is rung", async || self.calls(holder, "zadd").await > rung).await;
        until("a worker pops the id", async || self.calls(holder, "bzmpop").await > taken).await;
    }

    async fn finish(self) {
        self.system.finish().await;
        drop(self.redis);
        self.home.remove().unwrap();
    }
}

async fn home() -> Home {
    Home::new(&std::env::temp_dir()).await.unwrap()
}

#[tokio::test]
async fn a_master_that_is_killed_is_followed_by_the_one_that_sentinels_name() {
    let home = home().await;
    let redis = RedisGroup::with_sentinels(&home).await.unwrap();
    let mut test = RedisFailover::start(home, redis).await;
    until("the workers listen", async || test.doorbell_node().await == Some(0)).await;
    test.check_sharing().await;
    test.redis.nodes[0].kill().await.unwrap();
    let holder = test.place_orders_until_failover(0).await;
    test.check_doorbell_at(holder).await;
    test.check_sharing().await;
    test.finish().await;
}

#[tokio::test]
async fn a_master_that_freezes_is_not_waited_for_and_comes_back_as_a_replica() {
    let home = home().await;
    let redis = RedisGroup::with_sentinels(&home).await.unwrap();
    let mut test = RedisFailover::start(home, redis).await;
    until("the workers listen", async || test.doorbell_node().await == Some(0)).await;
    test.redis.nodes[0].freeze().await.unwrap();
    let holder = test.place_orders_until_failover(0).await;
    test.redis.nodes[0].thaw().await.unwrap();
    test.redis.nodes[0].until("it is a replica", &["ROLE"], |role| role.starts_with("slave")).await.unwrap();
    until("the workers still listen there", async || test.doorbell_node().await == Some(holder)).await;
    test.check_doorbell_at(holder).await;
    test.check_sharing().await;
    test.finish().await;
}

#[tokio::test]
async fn a_cluster_that_loses_the_doorbells_node_promotes_its_replica_and_both_edges_find_it() {
    let home = home().await;
    let redis = RedisGroup::cluster(&home).await.unwrap();
    let mut test = RedisFailover::start(home, redis).await;
    until("the workers listen", async || test.doorbell_node().await.is_some()).await;
    test.check_sharing().await;
    let lost = test.doorbell_node().await.unwrap();
    test.redis.nodes[lost].kill().await.unwrap();
    let holder = test.place_orders_until_failover(lost).await;
    test.check_doorbell_at(holder).await;
    test.check_sharing().await;
    for (index, node) in test.redis.nodes.iter().enumerate().filter(|(index, _)| ![lost, holder].contains(index)) {
        assert_eq!(node.calls("zadd").await.unwrap(), 0, "node {index} has a part of the doorbell");
    }
    test.finish().await;
}

#[tokio::test]
async fn the_other_transport_follows_sentinels_too() {
    let home = home().await;
    let redis = RedisGroup::with_sentinels(&home).await.unwrap();
    // This transport needs more commands than the user of the other tests may run.
    let url = redis.url().replace("millrace:secret@", "");
    let mut test = RedisFailover::start_with(home, redis, &url, "apalis-redis").await;
    // Only this transport uses sets in Redis: a worker puts each id that it received into a set.
    test.system.order("tok_ok").await;
    until("an id goes through the master", async || test.calls(0, "sadd").await > 0).await;
    test.redis.nodes[0].kill().await.unwrap();
    for _ in 0..5 {
        test.system.order("tok_slow_100").await;
    }
    until("the replica is master", async || test.redis.holder().await.unwrap() == Some(1)).await;
    let done = test.calls(1, "sadd").await;
    test.system.order("tok_ok").await;
    until("an id goes through the new master", async || test.calls(1, "sadd").await > done).await;
    test.finish().await;
}
