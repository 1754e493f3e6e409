//! The transport `apalis-redis` instead of the doorbell. It may lose and repeat ids, and every order is still
//! delivered.

use serde_json::json;

use testkit::redis_server::RedisServer;
use testkit::workers::{TestSystem, WorkerProcess};

const DONE: &str = "select count(*) from jobs where kind = 'noop' and state = 'done' and max_attempt - attempt = 3";

#[tokio::test]
async fn through_apalis_redis_every_order_is_delivered_while_redis_is_flushed_killed_and_started_again() {
    let mut redis = RedisServer::start().await;
    let system = TestSystem::with_redis(Some(redis.url())).await;
    // One slot: a worker without a doorbell asks Postgres once a second, which would be far too slow for the jobs
    // below.
    let _worker = WorkerProcess::start(&system, &[("QUEUE_TRANSPORT", "apalis-redis"), ("WORKER_CONCURRENCY", "1")]);
    let alice = system.app.customer().await;
    system.jobs("noop", "default", json!({}), 100).await;
    system.until_count("the jobs are done", DONE, 100).await;

    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.push(system.order(&alice, "tok_ok").await);
    }
    redis.command(&["FLUSHALL"]).await;
    orders.push(system.order(&alice, "tok_flaky_1").await);
    redis.kill().await;
    for _ in 0..3 {
        orders.push(system.order(&alice, "tok_ok").await);
    }
    for order in &orders {
        system.reaches(&alice, order, "delivered").await;
    }

    redis.start_again().await;
    system.jobs("noop", "low", json!({}), 100).await;
    system.until_count("the new jobs are done", DONE, 200).await;
    let last = system.order(&alice, "tok_ok").await;
    system.reaches(&alice, &last, "delivered").await;
    assert_eq!(system.charges().await, (8, 0));
    assert_eq!(system.stock().await, (992, 0));
}
