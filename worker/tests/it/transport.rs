//! The stock `RedisStorage` instead of the doorbell: it may lose and repeat, and nothing else changes.

use serde_json::json;

use testkit::redis_server::RedisServer;
use testkit::workers::{TestSystem, WorkerProcess};

const DONE: &str = "select count(*) from jobs where kind = 'noop' and state = 'done' and attempt = 1";

#[tokio::test]
async fn through_apalis_redis_every_order_is_delivered_while_redis_is_flushed_killed_and_started_again() {
    let mut redis = RedisServer::start().await;
    let shop = TestSystem::with_redis(Some(redis.url())).await;
    // One at a time: a worker that hears nothing asks Postgres once a second, which would be far too slow below.
    let _worker = WorkerProcess::start(&shop, &[("QUEUE_TRANSPORT", "apalis-redis"), ("WORKER_CONCURRENCY", "1")]);
    let alice = shop.app.customer().await;
    shop.jobs("noop", "default", json!({}), 100).await;
    shop.until_count("the jobs are heard of", DONE, 100).await;

    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.push(shop.order(&alice, "tok_ok").await);
    }
    redis.command(&["FLUSHALL"]).await;
    orders.push(shop.order(&alice, "tok_flaky_1").await);
    redis.kill().await;
    for _ in 0..3 {
        orders.push(shop.order(&alice, "tok_ok").await);
    }
    for order in &orders {
        shop.reaches(&alice, order, "delivered").await;
    }

    redis.start_again().await;
    shop.jobs("noop", "low", json!({}), 100).await;
    shop.until_count("they are heard of again", DONE, 200).await;
    let last = shop.order(&alice, "tok_ok").await;
    shop.reaches(&alice, &last, "delivered").await;
    assert_eq!(shop.charges().await, (8, 0));
    assert_eq!(shop.stock().await, (992, 0));
}
