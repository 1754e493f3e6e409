//! Scheduled jobs: the schedules of real workers, and what each job does.

use std::time::Duration;

use chrono::DateTime;
use clap::Parser;
use futures::future::join_all;
use serde_json::json;
use shared::queue::{self, Origin, Plan};
use shared::retention;
use shared::schedule::{Prune, Reap, Tick};
use tokio_util::sync::CancellationToken;
use worker::Vitals;
use worker::config::Cli;
use worker::context::Context;
use worker::error::Done;
use worker::fleet;

use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use testkit::until::until;

#[tokio::test]
async fn a_tick_runs_once_with_three_workers_up() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let overdue = alice.place(json!([{ "sku": "mug", "quantity": 2 }])).await.done(201);
    let in_time = alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201);
    // So that no worker pays for it.
    sqlx::query("update jobs set run_at = now() + interval '1 hour'").execute(&app.db).await.unwrap();
    sqlx::query("update reservations set expires_at = now() - interval '1 s' where order_id = $1::uuid")
        .bind(uuid::Uuid::parse_str(overdue.id()).unwrap())
        .execute(&app.db)
        .await
        .unwrap();

    let stopping = CancellationToken::new();
    let workers = (0..3).map(|_| {
        let options = [
            "millrace-worker",
            "--database-url",
            &app.database_url,
            "--payment-provider=simulated",
            "--reaper-schedule",
            "* * * * * *",
        ];
        let cli = Cli::try_parse_from(options).unwrap();
        let stopping = stopping.clone();
        tokio::spawn(async move {
            let ctx = Context::connect(&cli.common.database().unwrap(), &cli.common, &cli.work).unwrap();
            let vitals = Vitals { stopping, ..Vitals::new(&ctx, Vec::new()).unwrap() };
            fleet::run(ctx, &cli.work, &vitals).await
        })
    });
    let workers: Vec<_> = workers.collect();
    until("three ticks have run", async || {
        app.count("select count(*) from jobs where kind = 'reap' and state = 'done'").await >= 3
    })
    .await;
    stopping.cancel();
    for worker in join_all(workers).await {
        worker.unwrap().unwrap();
    }

    let by_tick = "select count(*) - count(distinct args->>'at') from jobs where kind = 'reap'";
    assert_eq!(app.count(by_tick).await, 0);
    assert_eq!(app.count("select max(attempt)::bigint from jobs where kind = 'reap'").await, 1);
    assert_eq!(app.count("select count(*) from clockwork where name = 'reap'").await, 1);
    // Only the overdue order has ended.
    let read = alice.get(overdue.header("location")).await.done(200);
    assert_eq!(
        (&read.body["status"], &read.body["cancel_reason"]),
        (&json!("cancelled"), &json!("reservation_expired"))
    );
    assert_eq!(alice.get(in_time.header("location")).await.done(200).body["status"], "pending");
    assert_eq!(app.count("select count(*) from stock_movements where reason = 'expired'").await, 1);
    assert_eq!(app.count("select reserved::bigint from inventory").await, 1);
}

#[tokio::test]
async fn a_tick_that_has_run_is_not_written_again() {
    let app = TestApp::new().await;
    let tick = Prune { at: DateTime::from_timestamp(1_800_000_000, 0).unwrap() };
    let plan = Plan { delay: Duration::ZERO, max_attempts: 8, origin: Origin::default() };
    let mut conn = app.db.acquire().await.unwrap();
    assert!(queue::enqueue(&mut conn, &tick, &plan).await.unwrap().is_some());
    assert!(queue::enqueue(&mut conn, &tick, &plan).await.unwrap().is_none());
    sqlx::query("update jobs set state = 'done', finished_at = now()").execute(&app.db).await.unwrap();
    retention::run(&app.db).await.unwrap();
    assert!(queue::enqueue(&mut conn, &tick, &plan).await.unwrap().is_none());
}

/// During an upgrade, workers of this version and the earlier one run at the same time.
#[tokio::test]
async fn a_tick_of_an_earlier_version_is_carried_out_and_not_written_twice() {
    let app = TestApp::new().await;
    let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let plan = Plan { delay: Duration::ZERO, max_attempts: 8, origin: Origin::default() };
    let mut conn = app.db.acquire().await.unwrap();
    assert!(queue::enqueue(&mut conn, &Tick { name: "reap".to_owned(), at }, &plan).await.unwrap().is_some());
    assert!(queue::enqueue(&mut conn, &Reap { at }, &plan).await.unwrap().is_none());
    assert_eq!(ManualWorker::of(&app).run_one("tick").await.unwrap(), Done::Recorded);
    assert_eq!(app.count("select count(*) from jobs where kind = 'tick' and state = 'done'").await, 1);
    assert_eq!(app.count("select count(*) from clockwork where name = 'reap'").await, 1);
}

#[tokio::test]
async fn what_is_too_old_is_removed_and_the_dead_stay() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    for sql in [
        "insert into jobs (queue, kind, args, max_attempt, state, finished_at)
         select 'default', state || ' ' || age, '{}', 1, state, now() - age
           from unnest(array['done', 'dead', 'discarded']) state,
                unnest(array['1 minute', '2 hours', '31 days']::interval[]) age",
        "insert into jobs (queue, kind, args, max_attempt) values ('default', 'ready', '{}', 1)",
        "insert into job_attempts (job_id, attempt, outcome, error, fingerprint)
         select id, 1, 'transient', '', '' from jobs",
        "insert into workers (id, host, pid, version, queues, kinds, heartbeat_at)
         select gen_random_uuid(), age::text, 1, '1', '{}', '{}', now() - age
           from unnest(array['1 second', '20 minutes']::interval[]) age",
        "insert into idempotency_keys (caller_id, key, body_hash, created_at)
         select gen_random_uuid(), age::text, '', now() - age from unnest(array['23 hours', '25 hours']::interval[]) age",
    ] {
        sqlx::query(sql).execute(&app.db).await.unwrap();
    }
    let expired = "insert into sessions (user_id, expires_at) values ($1, now() - interval '1 s')";
    sqlx::query(expired).bind(alice.id).execute(&app.db).await.unwrap();

    retention::run(&app.db).await.unwrap();

    let left: Vec<String> = sqlx::query_scalar(
        "select kind from jobs union all select 'worker ' || host from workers
         union all select 'key ' || key from idempotency_keys
         union all select 'session' from sessions order by 1",
    )
    .fetch_all(&app.db)
    .await
    .unwrap();
    let expected = [
        "dead 00:01:00",
        "dead 02:00:00",
        "dead 31 days",
        "discarded 00:01:00",
        "discarded 02:00:00",
        "done 00:01:00",
        "key 23:00:00",
        "ready",
        "session",
        "worker 00:00:01",
    ];
    assert_eq!(left, expected);
    assert_eq!(app.count("select count(*) from job_attempts").await, 7);
}
