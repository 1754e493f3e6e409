//! The product cache: an answer is never older than a limit, and never older than the client's own change.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use shared::inventory::adjust::{self, Adjust};
use shared::principal::Role;
use shared::principal::{self, Principal, Source};
use shared::values::{CustomerId, InventoryId, SessionId, UserId};
use tokio::sync::Semaphore;
use uuid::Uuid;

use testkit::app::TestApp;
use testkit::database::new_database;
use testkit::person::Person;
use testkit::redis_server::RedisServer;
use testkit::until::until;

/// A process polls for changes twice a second. If a poll fails for another second, it treats all cached products as
/// stale.
const BOUND: Duration = Duration::from_secs(2);

async fn cached(database: &str, options: &[&str]) -> TestApp {
    let fixed = ["--cache=on", "--rate-limits=off"];
    TestApp::on(database, &[&fixed, options].concat()).await
}

/// Creates a product with this many units in a new warehouse.
async fn stocked(staff: &Person<'_>, on_hand: i64) -> Shelf {
    let sku = Uuid::now_v7().simple().to_string();
    let price = json!({ "amount": 100, "currency": "USD" });
    let product = staff.post("/v1/products", json!({ "sku": sku, "name": "Mug", "price": price })).await.done(201);
    let code = sku[12..].to_owned();
    let warehouse = staff.post("/v1/warehouses", json!({ "code": code, "name": "W", "priority": 1 })).await.done(201);
    let stock = json!({ "product_id": product.id(), "warehouse_id": warehouse.id(), "on_hand": on_hand });
    let stock = staff.post("/v1/inventory", stock).await.done(201);
    Shelf { product: product.id().to_owned(), stock: stock.id().to_owned(), warehouse: warehouse.id().to_owned() }
}

struct Shelf {
    product: String,
    stock: String,
    warehouse: String,
}

impl Shelf {
    async fn get(&self, person: &Person<'_>) -> Value {
        person.get(&format!("/v1/products/{}", self.product)).await.done(200).body
    }

    async fn on_hand(&self, person: &Person<'_>) -> Value {
        person.get(&format!("/v1/inventory/onhand?product_id={}", self.product)).await.done(200).body
    }

    async fn available(&self, app: &TestApp) -> i64 {
        let shown = self.on_hand(&app.anyone()).await["available"].as_i64().unwrap();
        assert!(shown >= 0);
        shown
    }

    async fn adjust(&self, staff: &Person<'_>, delta: i64) {
        let body = json!({ "delta": delta, "reason": "counted" });
        staff.post_patiently(&format!("/v1/inventory/{}/adjustments", self.stock), body).await.done(201);
    }

    /// Changes the database as a worker would, without any API process.
    async fn adjust_elsewhere(&self, app: &TestApp, actor: Uuid, delta: i64) {
        let asked: Adjust = serde_json::from_value(json!({ "delta": delta, "reason": "counted" })).unwrap();
        let stock = InventoryId(self.stock.parse().unwrap());
        let mut tx = app.db.begin().await.unwrap();
        adjust::adjust(&mut tx, &staff(actor), stock, &asked).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn counted(app: &TestApp, name: &str) -> u64 {
    let page = app.http.get(format!("{}/metrics", app.metrics_url)).send().await.unwrap().text().await.unwrap();
    let line = page.lines().find(|line| line.starts_with(name));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn staff_read_what_is_there_now_in_every_process() {
    let database = new_database().await;
    let (one, other) = (cached(&database, &[]).await, cached(&database, &[]).await);
    let staff = one.staff().await;
    let mug = stocked(&staff, 10).await;
    let elsewhere = Person { app: &other, ..staff.clone() };
    for round in 1..=5 {
        // Fills the other process's cache just before the change.
        mug.get(&other.anyone()).await;
        mug.on_hand(&other.anyone()).await;
        let name = format!("Mug {round}");
        staff.patch(&format!("/v1/products/{}", mug.product), json!({ "name": name })).await.done(200);
        mug.adjust(&staff, 1).await;
        let shown = elsewhere.get(&format!("/v1/products/{}", mug.product)).await.done(200);
        assert_eq!((&shown.body["name"], shown.header("etag")), (&json!(name), &*format!("\"{}\"", round + 1)));
        assert_eq!(mug.on_hand(&elsewhere).await["on_hand"], 10 + round);
    }
}

#[tokio::test]
async fn a_change_is_seen_at_once_where_it_was_made_and_soon_everywhere() {
    let redis = RedisServer::start().await;
    let database = new_database().await;
    let (one, other) = (cached(&database, &[&redis.option()]).await, cached(&database, &[&redis.option()]).await);
    let staff = one.staff().await;
    let alice = one.customer().await;
    let mug = stocked(&staff, 10).await;
    let path = format!("/v1/products/{}", mug.product);
    let price = async |app: &TestApp| mug.get(&app.anyone()).await["price"]["amount"].as_i64().unwrap();

    assert_eq!((price(&one).await, price(&other).await), (100, 100));
    staff.patch(&path, json!({ "price": { "amount": 200, "currency": "USD" } })).await.done(200);
    assert_eq!(price(&one).await, 200);
    until("the other process shows the price", async || price(&other).await == 200).await;

    let sees = async |expected: i64| {
        assert_eq!(mug.available(&one).await, expected);
        until("the other process shows the stock", async || mug.available(&other).await == expected).await;
        assert_eq!(mug.get(&other.anyone()).await["available"], expected);
    };
    sees(10).await;
    mug.adjust(&staff, -1).await;
    sees(9).await;
    let address =
        json!({ "name": "A", "line1": "1 Mill Lane", "city": "Ithaca", "postal_code": "14850", "country": "US" });
    let order = json!({ "items": [{ "product_id": mug.product, "quantity": 2 }], "payment_token": "tok_ok", "shipping_address": address });
    alice.post("/v1/orders", order).await.done(201);
    sees(7).await;
    let counts = json!({ "items": [{ "product_id": mug.product, "warehouse": mug.warehouse, "quantity": 5 }] });
    staff.post("/v1/inventory/bulk", counts).await.done(200);
    sees(3).await;
    let warehouse = format!("/v1/warehouses/{}", mug.warehouse);
    staff.patch(&warehouse, json!({ "active": false })).await.done(200);
    sees(0).await;
    staff.patch(&warehouse, json!({ "active": true })).await.done(200);
    sees(3).await;
    staff.delete(&path).await.done(204);
    assert_eq!(mug.get(&alice).await["active"], false);

    mug.adjust_elsewhere(&one, staff.id, 4).await;
    for app in [&one, &other] {
        until("what a worker changed is shown", async || mug.available(app).await == 7).await;
    }
}

#[tokio::test]
async fn whoever_has_seen_an_order_does_not_see_its_products_as_they_were_before() {
    let database = new_database().await;
    let (one, other) = (cached(&database, &[]).await, cached(&database, &[]).await);
    let staff = one.staff().await;
    let mug = stocked(&staff, 100).await;
    let elsewhere = Person { app: &other, ..staff.clone() };
    let order = json!({ "items": [{ "product_id": mug.product, "quantity": 1 }], "payment_token": "tok_ok",
        "shipping_address": { "name": "A", "line1": "1 Mill Lane", "city": "Ithaca", "postal_code": "14850", "country": "US" } });
    for sold in 1..=10 {
        assert!(mug.available(&other).await >= 100 - sold, "it is in the cache of the other process");
        let placed = staff.post("/v1/orders", order.clone()).await.done(201);
        elsewhere.get(&format!("/v1/orders/{}", placed.id())).await.done(200);
        assert_eq!(mug.available(&other).await, 100 - sold);
    }
}

#[tokio::test]
async fn who_asks_sees_their_part_and_versions_are_compared_in_the_database() {
    let database = new_database().await;
    let (one, other) = (cached(&database, &[]).await, cached(&database, &[]).await);
    let staff = one.staff().await;
    let mug = stocked(&staff, 10).await;
    let path = format!("/v1/products/{}", mug.product);
    assert_eq!(mug.on_hand(&one.anyone()).await, json!({ "product_id": mug.product, "available": 10 }));
    let shown = mug.on_hand(&staff).await;
    assert_eq!((&shown["on_hand"], shown["warehouses"].as_array().unwrap().len()), (&json!(10), 1));
    assert_eq!(mug.on_hand(&one.anyone()).await, json!({ "product_id": mug.product, "available": 10 }));

    // An older version is refused, even if the cache still considers it fresh.
    let seen = other.anyone().get(&path).await.done(200);
    staff.patch(&path, json!({ "name": "Cup" })).await.done(200);
    let elsewhere = Person { app: &other, ..staff.clone() };
    let stale = [("if-match", seen.header("etag"))];
    elsewhere
        .send(Method::PATCH, &path, Some(json!({ "name": "Bowl" })), &stale)
        .await
        .refused(412, "version_mismatch");
}

#[tokio::test]
async fn staff_see_a_write_of_one_process_at_once_on_every_other() {
    let redis = RedisServer::start().await;
    let database = new_database().await;
    let (one, other) = (cached(&database, &[&redis.option()]).await, cached(&database, &[&redis.option()]).await);
    let staff = one.staff().await;
    let elsewhere = Person { app: &other, ..staff.clone() };
    let mug = stocked(&staff, 10).await;
    let path = format!("/v1/products/{}", mug.product);
    for price in 1..=20 {
        mug.available(&other).await; // It is in the cache of the other process.
        elsewhere.get(&path).await.done(200);
        let asked = json!({ "price": { "amount": price, "currency": "USD" } });
        let written = staff.patch(&path, asked).await.done(200);
        mug.adjust(&staff, 1).await;
        let read = elsewhere.get(&path).await.done(200);
        assert_eq!((&read.body["price"], read.header("etag")), (&written.body["price"], written.header("etag")));
        assert_eq!(mug.on_hand(&elsewhere).await["on_hand"], 10 + price);
    }
}

#[tokio::test]
async fn many_who_ask_at_once_cost_one_load_and_the_next_process_none() {
    let redis = RedisServer::start().await;
    let database = new_database().await;
    let app = cached(&database, &[&redis.option()]).await;
    let other = cached(&database, &[&redis.option(), "--cache-local-ttl=0s"]).await;
    let mug = stocked(&app.staff().await, 10).await;
    let before = counted(&app, "millrace_cache_loads_total").await;
    let readers = (0..300).map(|_| mug.available(&app));
    assert_eq!(join_all(readers).await, [10; 300]);
    let loads = counted(&app, "millrace_cache_loads_total").await - before;
    // One load, and one more for each poll that reports the creation of the product.
    assert!(loads <= 3, "{loads} loads");
    assert!(counted(&app, "millrace_cache_hits_total{tier=\"process\"}").await >= 290);

    until("Redis answers", async || {
        mug.available(&other).await;
        counted(&other, "millrace_cache_hits_total{tier=\"redis\"}").await > 0
    })
    .await;
    let key = redis.command(&["keys", "*:product:*"]).await;
    let left: u64 = redis.command(&["pttl", &key]).await.parse().unwrap();
    assert!((500_000..=660_000).contains(&left), "ten minutes, give or take: {left}");
    mug.adjust(&Person { app: &other, ..app.staff().await }, -10).await;
    until("what is low is kept shorter", async || {
        mug.available(&other).await;
        redis.command(&["pttl", &key]).await.parse::<u64>().is_ok_and(|left| left <= 198_000)
    })
    .await;
}

/// A slow reader or a failover of Redis can bring back an old value.
#[tokio::test]
async fn an_old_value_that_comes_back_in_redis_is_not_believed() {
    let redis = RedisServer::start().await;
    let database = new_database().await;
    let options = [&*redis.option(), "--cache-local-ttl=0s"];
    let (one, other) = (cached(&database, &options).await, cached(&database, &options).await);
    let staff = one.staff().await;
    let mug = stocked(&staff, 10).await;
    let key = format!("millrace:cache:1:product:{}", mug.product);
    for app in [&one, &other] {
        until("Redis answers", async || {
            mug.available(app).await;
            counted(app, "millrace_cache_hits_total{tier=\"redis\"}").await > 0
        })
        .await;
    }
    let field = async |name: &str| redis.command(&["hget", &key, name]).await;
    let (horizon, facts) = (field("horizon").await, field("facts").await);
    mug.adjust(&staff, -1).await;
    until("the other process has heard of it", async || mug.available(&other).await == 9).await;
    for round in 0..50 {
        redis.command(&["hset", &key, "horizon", &horizon, "facts", &facts]).await;
        assert_eq!((mug.available(&one).await, mug.available(&other).await), (9, 9), "round {round}");
    }
    assert!(counted(&one, "millrace_cache_stale_avoided_total{at=\"read\"}").await > 0);

    // No older value overwrites a newer one.
    let future = "9000000000000000";
    redis.command(&["hset", &key, "horizon", future, "facts", "nonsense"]).await;
    assert_eq!(mug.available(&one).await, 9);
    assert_eq!(field("horizon").await, future);
    assert!(counted(&one, "millrace_cache_stale_avoided_total{at=\"fill\"}").await > 0);
}

// ---- many writers, many readers --------------------------------------------------------------

const PRODUCTS: usize = 8;
const WRITERS: usize = 120;
const READERS: usize = 240;
/// Requests that run at the same time. More of them would only wait for the CPU, and a read that waits is fresh. With
/// twice as many, two cores were so busy that opening a connection to Postgres sometimes took longer than the pool's
/// timeout.
const AT_ONCE: usize = 6;

/// A request that added one unit: its process, and when it was sent and answered.
#[derive(Clone, Copy)]
struct Write {
    /// The API process. None for a worker.
    by: Option<usize>,
    product: usize,
    asked: Instant,
    answered: Instant,
}

struct Read {
    by: usize,
    product: usize,
    asked: Instant,
    units: i64,
}

/// The minimum number of units that this read must see. Every write adds one unit, and none removes any.
fn at_least(read: &Read, writes: &[Write]) -> usize {
    let here = || writes.iter().filter(|write| write.product == read.product);
    let known = read.asked.checked_sub(BOUND);
    let long_ago = |write: &&Write| known.is_some_and(|known| write.answered < known);
    // All writes of the process itself, and all writes that were answered before its last one was sent.
    let own = |write: &&Write| write.by == Some(read.by) && write.answered < read.asked;
    let last_own = here().filter(own).map(|write| write.asked).max();
    let before_own = |write: &&Write| last_own.is_some_and(|last| write.answered < last);
    here().filter(|write| long_ago(write) || own(write) || before_own(write)).count()
}

/// How much older the read was than the newest write that it should have seen.
fn behind(read: &Read, writes: &[Write]) -> Duration {
    let mut answered: Vec<Instant> =
        writes.iter().filter(|write| write.product == read.product).map(|write| write.answered).collect();
    answered.sort_unstable();
    let missed = answered.get(usize::try_from(read.units).unwrap());
    missed.map_or(Duration::ZERO, |missed| read.asked.saturating_duration_since(*missed))
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_write_and_read_and_nobody_is_shown_what_is_too_old_also_while_redis_fails() {
    let mut redis = RedisServer::start().await;
    let database = new_database().await;
    let apps = [cached(&database, &[&redis.option()]).await, cached(&database, &[&redis.option()]).await];
    let staff = apps[0].staff().await;
    let shelves = join_all((0..PRODUCTS).map(|_| stocked(&staff, 0))).await;
    let (writes, reads) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let (writing, reading) = (Semaphore::new(AT_ONCE), Semaphore::new(AT_ONCE));
    let start = Instant::now();
    let time = Duration::from_secs(12);

    let write = async |number: usize| {
        let mut turn = number;
        while start.elapsed() < time {
            turn += 1;
            // Every third product is idle now and then, so that stale values would be visible.
            let product = (turn / 3 + turn) % PRODUCTS;
            if product.is_multiple_of(3) && (start.elapsed().as_secs() / 3) % 2 == 1 {
                tokio::task::yield_now().await;
                continue;
            }
            let _turn = writing.acquire().await.unwrap();
            let by = (!number.is_multiple_of(5)).then_some(number % 2);
            let asked = Instant::now();
            match by {
                Some(app) => shelves[product].adjust(&Person { app: &apps[app], ..staff.clone() }, 1).await,
                None => shelves[product].adjust_elsewhere(&apps[0], staff.id, 1).await,
            }
            writes.lock().unwrap().push(Write { by, product, asked, answered: Instant::now() });
        }
    };
    let read = async |number: usize| {
        let mut turn = number;
        while start.elapsed() < time {
            turn += 1;
            let _turn = reading.acquire().await.unwrap();
            let (by, product) = (turn % 2, turn / 2 % PRODUCTS);
            let asked = Instant::now();
            let units = shelves[product].available(&apps[by]).await;
            reads.lock().unwrap().push(Read { by, product, asked, units });
        }
    };
    let fail = async {
        let mut pulse = tokio::time::interval(Duration::from_secs(3));
        pulse.tick().await;
        pulse.tick().await;
        redis.freeze().await;
        pulse.tick().await;
        redis.thaw().await;
        pulse.tick().await;
        redis.kill().await;
    };
    tokio::join!(join_all((0..WRITERS).map(write)), join_all((0..READERS).map(read)), fail);

    let (writes, reads) = (writes.into_inner().unwrap(), reads.into_inner().unwrap());
    let oldest = reads.iter().map(|read| behind(read, &writes)).max().unwrap();
    println!("{} writes, {} reads; the oldest was {oldest:?} behind", writes.len(), reads.len());
    assert!(
        writes.len() > WRITERS && reads.len() > READERS,
        "too slow: {} writes, {} reads",
        writes.len(),
        reads.len()
    );
    for read in &reads {
        let least = at_least(read, &writes);
        let units = usize::try_from(read.units).unwrap();
        assert!(
            units >= least,
            "process {} showed {units} of product {} after {:?}, when there were {least} at least",
            read.by,
            read.product,
            read.asked - start
        );
    }
    let hits = join_all(apps.iter().map(|app| counted(app, "millrace_cache_hits_total{tier=\"process\"}"))).await;
    assert!(hits.iter().all(|hits| *hits > 0), "nothing was shown from a cache: {hits:?}");
}

/// This user as a principal that may change stock.
fn staff(user_id: Uuid) -> Principal {
    let person = principal::Person {
        user_id: UserId(user_id),
        name: "Some One".parse().unwrap(),
        session_id: SessionId::new(),
        role: Role::Staff,
        needs_totp: false,
        customer_id: CustomerId(Uuid::nil()),
    };
    Principal::person(person, Source::default())
}
