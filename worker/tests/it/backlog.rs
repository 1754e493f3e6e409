//! Workers that are behind: what they claimed ahead goes back, and orders that wait for them keep their stock.

use serde_json::json;
use testkit::until::until;
use testkit::workers::{TestSystem, WorkerProcess};

const READY: &str = "select count(*) from jobs where kind = 'noop' and state = 'ready'";
const DONE: &str = "select count(*) from jobs where kind = 'noop' and state = 'done'";
const LONG_RUN: &str =
    "select count(*) from jobs where kind = 'noop' and state = 'running' and args ->> 'wait_ms' = '30000'";

/// A worker of four slots that has just run thousands of short jobs, so that it claims ahead.
async fn fast_worker(system: &TestSystem) -> WorkerProcess {
    let worker = WorkerProcess::start(system, &[("WORKER_CONCURRENCY", "4")]);
    system.jobs("noop", "default", json!({}), 3000).await;
    system.until_count("the short jobs are done", DONE, 3000).await;
    worker
}

#[tokio::test]
async fn short_jobs_do_not_wait_behind_long_ones_that_a_worker_has_claimed() {
    let system = TestSystem::start().await;
    let worker = fast_worker(&system).await;
    let jobs = "insert into jobs (queue, kind, args, max_attempt, run_at)
                select 'default', 'noop', case when n <= 4 then '{\"wait_ms\": 30000}' else '{\"wait_ms\": 1}' end::jsonb, 4,
                       now() - make_interval(secs => 100 - n)
                  from generate_series(1, 44) n";
    sqlx::raw_sql(jobs).execute(&system.app.db).await.unwrap();
    system.until_count("the long jobs run", LONG_RUN, 4).await;
    let _other = WorkerProcess::start(&system, &[("WORKER_CONCURRENCY", "4")]);
    system.until_count("another worker did the short ones", DONE, 3040).await;
    assert_eq!(system.count(LONG_RUN).await, 4, "meanwhile the long ones run");
    let attempts = "select count(*) from jobs where kind = 'noop' and max_attempt - attempt < 3";
    assert_eq!(system.count(attempts).await, 0, "going back costs no attempt");
    worker.kill().await;
}

#[tokio::test]
async fn a_worker_that_stops_gives_back_what_it_claimed_ahead() {
    let system = TestSystem::start().await;
    let worker = fast_worker(&system).await;
    system.jobs("noop", "default", json!({ "wait_ms": 5 }), 2000).await;
    until("it is at work", async || system.count(DONE).await > 3100).await;
    worker.signal("TERM").await;
    assert!(worker.ended().await.success());
    let held = "select count(*) from jobs where kind = 'noop' and state = 'running'";
    assert_eq!(system.count(held).await, 0, "nothing is left in its name");
    assert!(system.count(READY).await > 0, "it has not done everything");
    let _other = WorkerProcess::start(&system, &[]);
    system.until_count("another worker does the rest", DONE, 5000).await;
    let attempts = "select count(*) from jobs where kind = 'noop' and max_attempt - attempt < 3";
    assert_eq!(system.count(attempts).await, 0, "going back costs no attempt");
}

#[tokio::test]
async fn an_order_whose_payment_no_worker_has_come_to_keeps_its_stock() {
    let system = TestSystem::start().await;
    let (alice, staff) = (system.app.customer().await, system.app.staff().await);
    let worker = WorkerProcess::start(&system, &[("WORKER_CONCURRENCY", "1")]);
    let first = system.order(&alice, "tok_slow_3000").await;
    system.reaches(&alice, &first, "processing").await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(system.order(&alice, "tok_ok").await);
    }
    let overdue = "update reservations set expires_at = now() - interval '1 second'
                     from orders o where o.id = order_id and o.status = 'pending'";
    sqlx::raw_sql(overdue).execute(&system.app.db).await.unwrap();
    let reaped = staff.post("/v1/inventory/reaper", json!({})).await.done(200);
    assert_eq!(reaped.body["released_reservations"], 0);
    for order in &waiting {
        assert_eq!(alice.see(order).await["next_action"]["delayed"], false);
    }
    // As if the payment had been tried, and the database had been away.
    let again = "update jobs set attempt = attempt + 1, run_at = now() + interval '1 hour'
                  where kind = 'process_payment' and state = 'ready'";
    sqlx::raw_sql(again).execute(&system.app.db).await.unwrap();
    sqlx::raw_sql(overdue).execute(&system.app.db).await.unwrap();
    let reaped = staff.post("/v1/inventory/reaper", json!({})).await.done(200);
    assert_eq!(reaped.body["released_reservations"], 0);
    let late =
        "update jobs set run_at = now() - interval '2 minutes' where kind = 'process_payment' and state = 'ready'";
    sqlx::raw_sql(late).execute(&system.app.db).await.unwrap();
    let last = alice.see(&waiting[2]).await;
    assert_eq!((&last["status"], &last["next_action"]["delayed"]), (&json!("pending"), &json!(true)), "{last:#}");
    for order in &waiting {
        system.reaches(&alice, order, "delivered").await;
    }
    assert_eq!(system.count("select count(*) from orders where status = 'cancelled'").await, 0);

    // Where no worker is left, or the order is old, nobody knows when it would be paid.
    worker.signal("TERM").await;
    assert!(worker.ended().await.success());
    for (what, more) in [("no worker is there", ""), ("it is old", ", created_at = now() - interval '5 hours'")] {
        let order = system.order(&alice, "tok_ok").await;
        let age = format!("update orders set updated_at = now(){more} where status = 'pending'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(age)).execute(&system.app.db).await.unwrap();
        if !more.is_empty() {
            let there = "update workers set gone_at = null, heartbeat_at = now()";
            sqlx::raw_sql(there).execute(&system.app.db).await.unwrap();
        }
        sqlx::raw_sql(overdue).execute(&system.app.db).await.unwrap();
        let reaped = staff.post("/v1/inventory/reaper", json!({})).await.done(200);
        assert_eq!(reaped.body["released_reservations"], 1, "{what}");
        assert_eq!(alice.see(&order).await["cancel_reason"], "reservation_expired", "{what}");
    }

    // The database was away for longer than a worker may be silent. A sale comes before the next heartbeat.
    let order = system.order(&alice, "tok_ok").await;
    let away = "update workers set gone_at = null, heartbeat_at = now() - interval '20 seconds'";
    sqlx::raw_sql(away).execute(&system.app.db).await.unwrap();
    sqlx::raw_sql(overdue).execute(&system.app.db).await.unwrap();
    let reap =
        async || staff.post("/v1/inventory/reaper", json!({})).await.done(200).body["released_reservations"].clone();
    assert_eq!(reap().await, 0);
    assert_eq!(reap().await, 0, "it was just missed");
    assert_eq!(alice.see(&order).await["status"], "pending");
    // Ten seconds later it still is silent, so it is gone. A heartbeat in between would count.
    let later = "update workers set missed_at = now() - interval '11 seconds'";
    sqlx::raw_sql(later).execute(&system.app.db).await.unwrap();
    sqlx::raw_sql("update workers set heartbeat_at = missed_at + interval '1 second'")
        .execute(&system.app.db)
        .await
        .unwrap();
    assert_eq!(reap().await, 0, "it was heard after it was missed, so it has only just been missed again");
    sqlx::raw_sql(later).execute(&system.app.db).await.unwrap();
    sqlx::raw_sql(away).execute(&system.app.db).await.unwrap();
    assert_eq!(reap().await, 1);
    assert_eq!(alice.see(&order).await["cancel_reason"], "reservation_expired");
}
