//! Redis is more than one server, and the one that has the doorbell is lost in the middle of work: nothing else is,
//! requests are answered as quickly as ever, and workers soon listen to the one that takes its place.

use std::time::{Duration, Instant};

use prove::client::Person;
use prove::cluster::Cluster;
use reqwest::Response;
use serde_json::Value;
use servers::home::Home;
use servers::redis_group::RedisGroup;
use testkit::until::until;

use crate::bins;
use crate::killed::{Stage, order};

const WORKERS: usize = 2;
/// The servers here need about three seconds to agree; the rest is ours, on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);
/// A request may lose a quarter of a second to a Redis that has just died, twice.
const AT_ONCE: Duration = Duration::from_millis(1500);

struct Scene {
    stage: Stage,
    redis: RedisGroup,
    home: Home,
    http: reqwest::Client,
}

impl Scene {
    async fn set(home: Home, redis: RedisGroup) -> Self {
        let url = redis.url();
        Self::set_with(home, redis, &url, "doorbell").await
    }

    async fn set_with(home: Home, redis: RedisGroup, url: &str, transport: &str) -> Self {
        let settings = [
            ("REDIS_URL", url),
            ("QUEUE_TRANSPORT", transport),
            ("RATE_LIMITS", "on"),
            ("RATE_LIMIT_QUERY", "1000/100m"),
        ];
        let cluster = Cluster::open_with(&std::env::temp_dir(), bins(), 2, WORKERS, &settings).await.unwrap();
        Self { stage: Stage::of(cluster).await, redis, home, http: reqwest::Client::new() }
    }

    async fn get(&self, api: usize, person: &Person, path: &str) -> Response {
        let url = format!("http://{}{path}", self.stage.cluster.apis[api].addr());
        let response = self.http.get(url).bearer_auth(&person.token).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {response:?}");
        response
    }

    /// How many requests of a class that is limited tightly this API would take still.
    async fn remaining(&self, api: usize) -> u64 {
        let response = self.get(api, &self.stage.staff, "/v1/inventory/movements?limit=1").await;
        response.headers()["ratelimit-remaining"].to_str().unwrap().parse().unwrap()
    }

    /// The node that has the doorbell, when all workers listen to it.
    async fn heard_at(&self) -> Option<usize> {
        let holder = self.redis.holder().await.unwrap()?;
        (self.redis.nodes[holder].listeners().await.unwrap() == WORKERS).then_some(holder)
    }

    async fn calls(&self, holder: usize, command: &str) -> u64 {
        self.redis.nodes[holder].calls(command).await.unwrap()
    }

    /// Limits and cache are those of all processes together.
    async fn shares(&self) {
        until("one bucket is taken from by both", async || self.remaining(0).await > self.remaining(1).await).await;
        let products = self.get(0, &self.stage.buyer, "/v1/products?limit=20").await.json::<Value>().await.unwrap();
        for product in products["data"].as_array().unwrap() {
            let path = format!("/v1/products/{}", product["id"].as_str().unwrap());
            self.get(0, &self.stage.buyer, &path).await;
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
        assert!(kept().await >= self.redis.nodes.len() / 2, "products are kept by {} nodes", kept().await);
    }

    /// Works on while the one who has the doorbell is lost, until the workers listen to another.
    async fn lose(&mut self, lost: usize) -> usize {
        let since = Instant::now();
        let mut slowest = Duration::ZERO;
        let mut pulse = tokio::time::interval(Duration::from_millis(100));
        let heard_at = loop {
            pulse.tick().await;
            for api in [0, 1] {
                let asked = Instant::now();
                let placed = self.stage.clients.ask_once(api, &self.stage.buyer, &order("tok_slow_100")).await.unwrap();
                assert_eq!(placed.status, 201, "{placed:?}");
                self.stage.placed(&placed.body);
                let listed = self.get(api, &self.stage.buyer, "/v1/orders?limit=1").await;
                assert!(listed.headers().contains_key("ratelimit-remaining"), "{listed:?}");
                slowest = slowest.max(asked.elapsed());
            }
            assert!(since.elapsed() < SOON, "nobody listens yet");
            if let Some(holder) = self.heard_at().await.filter(|holder| *holder != lost) {
                break holder;
            }
        };
        eprintln!("listened to after {:?}; slowest pair of requests {slowest:?}", since.elapsed());
        assert!(slowest < AT_ONCE, "{slowest:?}");
        heard_at
    }

    /// What is placed now is told by way of this node, and nobody has to look.
    async fn rings_at(&mut self, holder: usize) {
        let (rung, taken) = (self.calls(holder, "zadd").await, self.calls(holder, "bzmpop").await);
        self.stage.order("tok_ok").await;
        until("it is rung for", async || self.calls(holder, "zadd").await > rung).await;
        until("it is heard", async || self.calls(holder, "bzmpop").await > taken).await;
    }

    async fn ends_well(self) {
        self.stage.ends_well().await;
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
    let mut scene = Scene::set(home, redis).await;
    until("the workers listen", async || scene.heard_at().await == Some(0)).await;
    scene.shares().await;
    scene.redis.nodes[0].kill().await.unwrap();
    let holder = scene.lose(0).await;
    scene.rings_at(holder).await;
    scene.shares().await;
    scene.ends_well().await;
}

#[tokio::test]
async fn a_master_that_freezes_is_not_waited_for_and_comes_back_as_a_replica() {
    let home = home().await;
    let redis = RedisGroup::with_sentinels(&home).await.unwrap();
    let mut scene = Scene::set(home, redis).await;
    until("the workers listen", async || scene.heard_at().await == Some(0)).await;
    scene.redis.nodes[0].freeze().await.unwrap();
    let holder = scene.lose(0).await;
    scene.redis.nodes[0].thaw().await.unwrap();
    scene.redis.nodes[0].until("it is a replica", &["ROLE"], |role| role.starts_with("slave")).await.unwrap();
    until("the workers listen there still", async || scene.heard_at().await == Some(holder)).await;
    scene.rings_at(holder).await;
    scene.shares().await;
    scene.ends_well().await;
}

#[tokio::test]
async fn a_cluster_that_loses_the_doorbells_node_promotes_its_replica_and_both_edges_find_it() {
    let home = home().await;
    let redis = RedisGroup::cluster(&home).await.unwrap();
    let mut scene = Scene::set(home, redis).await;
    until("the workers listen", async || scene.heard_at().await.is_some()).await;
    scene.shares().await;
    let lost = scene.heard_at().await.unwrap();
    scene.redis.nodes[lost].kill().await.unwrap();
    let holder = scene.lose(lost).await;
    scene.rings_at(holder).await;
    scene.shares().await;
    for (index, node) in scene.redis.nodes.iter().enumerate().filter(|(index, _)| ![lost, holder].contains(index)) {
        assert_eq!(node.calls("zadd").await.unwrap(), 0, "node {index} has a part of the doorbell");
    }
    scene.ends_well().await;
}

#[tokio::test]
async fn the_other_transport_follows_sentinels_too() {
    let home = home().await;
    let redis = RedisGroup::with_sentinels(&home).await.unwrap();
    // It does more than the user of the other tests may.
    let url = redis.url().replace("millrace:secret@", "");
    let mut scene = Scene::set_with(home, redis, &url, "apalis-redis").await;
    // What a worker was handed it puts into a set of what is done; nobody else has sets.
    scene.stage.order("tok_ok").await;
    until("an id travels", async || scene.calls(0, "sadd").await > 0).await;
    scene.redis.nodes[0].kill().await.unwrap();
    for _ in 0..5 {
        scene.stage.order("tok_slow_100").await;
    }
    until("another is master", async || scene.redis.holder().await.unwrap() == Some(1)).await;
    let done = scene.calls(1, "sadd").await;
    scene.stage.order("tok_ok").await;
    until("an id travels there", async || scene.calls(1, "sadd").await > done).await;
    scene.ends_well().await;
}
