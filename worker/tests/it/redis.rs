//! Every job runs, even if the doorbell is lost at any time.

use serde_json::json;
use testkit::redis_server::RedisServer;
use testkit::until::until;
use testkit::workers::{TestSystem, WorkerProcess};

const DONE: &str = "select count(*) from jobs where kind = 'noop' and state = 'done'";

#[tokio::test]
async fn every_job_runs_while_redis_is_flushed_killed_and_started_again() {
    let mut redis = RedisServer::start().await;
    let system = TestSystem::with_redis(Some(redis.url())).await;
    let _worker = WorkerProcess::start(&system, &[]);
    let alice = system.app.customer().await;
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push(system.order(&alice, "tok_ok").await);
    }
    redis.command(&["FLUSHALL"]).await;
    orders.push(system.order(&alice, "tok_flaky_1").await);
    redis.kill().await;
    for _ in 0..5 {
        orders.push(system.order(&alice, "tok_ok").await);
    }
    for order in &orders {
        system.reaches(&alice, order, "delivered").await;
    }
    redis.start_again().await;
    let last = system.order(&alice, "tok_ok").await;
    system.reaches(&alice, &last, "delivered").await;
    assert_eq!(system.charges().await, (12, 0));
}

#[tokio::test]
async fn a_backlog_runs_on_while_redis_is_flushed_and_is_rung_in_pages() {
    let redis = RedisServer::start().await;
    let system = TestSystem::with_redis(Some(redis.url())).await;
    system.jobs("noop", "default", json!({ "wait_ms": 5 }), 5000).await;
    let _workers = [WorkerProcess::start(&system, &[]), WorkerProcess::start(&system, &[])];
    for done in [1000, 2500] {
        until("a part is done", async || system.count(DONE).await >= done).await;
        redis.command(&["FLUSHALL"]).await;
    }
    let alice = system.app.customer().await;
    let order = system.order(&alice, "tok_ok").await;
    system.reaches(&alice, &order, "delivered").await;
    system.until_count("all are done", DONE, 5000).await;
    assert_eq!(system.count("select count(*) from jobs where kind = 'noop' and max_attempt - attempt <> 3").await, 0);
    let rings = redis.calls("zadd").await;
    assert!(rings < 500, "5,000 jobs took {rings} ZADD commands");
}

#[tokio::test]
async fn a_full_set_that_was_emptied_is_rung_again_soon_and_not_only_by_maintenance() {
    let redis = RedisServer::start().await;
    let system = TestSystem::with_redis(Some(redis.url())).await;
    let alice = system.app.customer().await;
    let fill = format!("for i = 1, 20000 do redis.call('ZADD', '{{{}}}:high', i, i) end", system.prefix);
    redis.command(&["EVAL", &fill, "0"]).await;
    system.order(&alice, "tok_ok").await;
    until("the set is seen to be full", async || redis.calls("zcard").await > 0).await;
    redis.command(&["FLUSHALL"]).await;

    // No worker runs, so there is no maintenance that would ring.
    let mut orders = 0;
    until("the API rings", async || {
        orders += 1;
        system.order(&alice, "tok_ok").await;
        redis.command(&["EXISTS", &format!("{{{}}}:high", system.prefix)]).await != "0"
    })
    .await;
    assert!(orders < 60, "it rang only at order number {orders}");
}

#[tokio::test]
async fn without_redis_every_job_runs() {
    let system = TestSystem::with_redis(None).await;
    let _worker = WorkerProcess::start(&system, &[]);
    let alice = system.app.customer().await;
    let order = system.order(&alice, "tok_ok").await;
    system.reaches(&alice, &order, "delivered").await;
    system.jobs("noop", "low", json!({}), 100).await;
    system.until_count("all are done", DONE, 100).await;
}
