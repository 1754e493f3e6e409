//! What workers do to each other and to themselves: deaths, freezes, priorities, pauses, stops.

use serde_json::json;
use testkit::database::through_a_proxy;
use uuid::Uuid;

use testkit::until::until;
use testkit::workers::{TestSystem, WorkerProcess};

const LIVE: &str = "select count(*) from jobs where state in ('ready', 'running')";
const UNDECODABLE: &str = "select count(*) from jobs where kind = 'process_payment' and state = 'dead' and attempt = 1";
const ATTEMPT: &str = "select attempt::bigint from jobs where kind = 'noop'";
const DONE: &str = "select count(*) from jobs where kind = 'noop' and state = 'done'";

#[tokio::test]
async fn a_killed_workers_job_is_taken_by_another_and_its_effect_happens_once() {
    let shop = TestSystem::start().await;
    let first = WorkerProcess::start(&shop, &[]);
    let alice = shop.app.customer().await;
    let order = shop.order(&alice, "tok_slow_1000").await;
    shop.reaches(&alice, &order, "processing").await;
    first.kill().await;
    let _second = WorkerProcess::start(&shop, &[]);
    shop.reaches(&alice, &order, "delivered").await;
    assert_eq!(shop.charges().await, (1, 0));
    assert_eq!(shop.count("select count(*) from job_attempts where outcome = 'lease_lost'").await, 1);
}

#[tokio::test]
async fn a_frozen_workers_commit_is_refused_when_it_goes_on() {
    let shop = TestSystem::start().await;
    let frozen = WorkerProcess::start(&shop, &[]);
    let alice = shop.app.customer().await;
    let order = shop.order(&alice, "tok_slow_1000").await;
    shop.reaches(&alice, &order, "processing").await;
    frozen.signal("STOP").await;
    let _second = WorkerProcess::start(&shop, &[]);
    shop.reaches(&alice, &order, "delivered").await;
    frozen.signal("CONT").await;
    // It shows that it is awake again, and what it still held changes nothing.
    let awake = format!(
        "select count(*) from workers where pid = {} and heartbeat_at > now() - interval '500 ms'",
        frozen.pid()
    );
    until("the frozen worker is awake", async || {
        sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(awake.clone())).fetch_one(&shop.app.db).await.unwrap() == 1
    })
    .await;
    frozen.signal("TERM").await;
    assert!(frozen.ended().await.success());
    assert_eq!(shop.charges().await, (1, 0));
    assert_eq!(shop.stock().await, (999, 0));
}

#[tokio::test]
async fn a_claim_whose_reply_is_lost_is_run_by_another_worker_after_its_lease_and_its_effect_happens_once() {
    let shop = TestSystem::start().await;
    let (proxy, through) = through_a_proxy(&shop.app.database_url).await;
    let _first = WorkerProcess::start(&shop, &[("DATABASE_URL", &through), ("WORKER_CONCURRENCY", "1")]);
    shop.until_count("it lives", "select count(*) from workers", 1).await;

    proxy.lose_answer_to("set state = 'running'");
    let alice = shop.app.customer().await;
    let order = shop.order(&alice, "tok_ok").await;
    until("the claim is made and its reply is lost", async || proxy.cuts() == 1).await;
    assert_eq!(shop.count("select count(*) from jobs where kind = 'process_payment' and state = 'running'").await, 1);
    // From now its only place is taken, and it renews the lease of what it really runs.
    shop.jobs("noop", "high", json!({ "wait_ms": 30_000 }), 1).await;
    shop.until_count("it works on", "select count(*) from jobs where kind = 'noop' and state = 'running'", 1).await;

    let _second = WorkerProcess::start(&shop, &[]);
    shop.reaches(&alice, &order, "delivered").await;
    assert_eq!(shop.charges().await, (1, 0));
    let lost = "select count(*) from job_attempts a join jobs j on j.id = a.job_id
                 where a.outcome = 'lease_lost' and j.state = 'done' and j.attempt = 2 and j.worker <> a.worker";
    assert_eq!(shop.count(lost).await, 1);
    assert_eq!(shop.count("select count(*) from job_attempts").await, 1);
}

#[tokio::test]
async fn a_job_that_kills_its_process_does_not_loop_for_ever() {
    let shop = TestSystem::start().await;
    shop.jobs("noop", "default", json!({ "wait_ms": 60_000 }), 1).await;
    // A worker that is starved of CPU loses such a short lease while it lives, and takes the job again: an attempt more.
    let mut attempt = 0;
    while attempt < 4 {
        let worker = WorkerProcess::start(&shop, &[("JOB_LEASE", "500ms")]);
        until("the job is taken again", async || {
            let before = std::mem::replace(&mut attempt, shop.count(ATTEMPT).await);
            before < attempt
        })
        .await;
        worker.kill().await;
    }
    let _worker = WorkerProcess::start(&shop, &[("JOB_LEASE", "500ms")]);
    shop.until_count("the job is dead", "select count(*) from jobs where kind = 'noop' and state = 'dead'", 1).await;
    assert_eq!(
        shop.count("select count(*) from job_attempts a join jobs j on j.id = job_id and kind = 'noop'").await,
        4
    );
}

#[tokio::test]
async fn what_cannot_be_decoded_is_dead_at_once_and_what_nobody_knows_after_its_time() {
    let shop = TestSystem::start().await;
    shop.jobs("process_payment", "high", json!({ "order": "?" }), 1).await;
    // More than are rung at once, and older than their neighbours.
    shop.jobs("unheard_of", "default", json!({}), 2500).await;
    shop.jobs("of_the_next_version", "default", json!({}), 10).await;
    shop.jobs("noop", "default", json!({}), 20).await;
    // All were written during an outage: for an hour nobody could have taken them.
    sqlx::query("update jobs set run_at = run_at - interval '1 hour'").execute(&shop.app.db).await.unwrap();
    let _worker = WorkerProcess::start(&shop, &[("JOB_UNKNOWN_AFTER", "3s")]);
    shop.until_count("the neighbours are done", DONE, 20).await;
    shop.until_count("what cannot be decoded is dead", UNDECODABLE, 1).await;
    // Of the newer workers the first is up only now.
    sqlx::query(
        "insert into workers (id, host, pid, version, queues, kinds, heartbeat_at)
         select gen_random_uuid(), host, pid, '2.0.0', queues, kinds || array['of_the_next_version/1'], now() + interval '1 hour'
           from workers",
    )
    .execute(&shop.app.db)
    .await
    .unwrap();
    shop.until_count(
        "what nobody knows is dead",
        "select count(*) from jobs where kind = 'unheard_of' and state = 'dead'",
        2500,
    )
    .await;
    let too_soon = "select count(*) from jobs, workers
                     where kind = 'unheard_of' and workers.version <> '2.0.0' and finished_at < workers.started_at + interval '3 seconds'";
    assert_eq!(shop.count(too_soon).await, 0);
    assert_eq!(
        shop.count("select count(*) from jobs where kind = 'of_the_next_version' and state = 'ready'").await,
        10
    );
}

#[tokio::test]
async fn high_comes_before_default_before_low_and_low_is_not_starved() {
    let shop = TestSystem::start().await;
    for queue in ["low", "default", "high"] {
        shop.jobs("noop", queue, json!({ "wait_ms": 2 }), 150).await;
    }
    let _worker = WorkerProcess::start(&shop, &[("WORKER_CONCURRENCY", "4")]);
    shop.until_count("all are done", DONE, 450).await;
    let mean = async |queue: &str| -> f64 {
        sqlx::query_scalar(
            "select avg(place)::float8 from (select queue, row_number() over (order by finished_at) as place from jobs) t where queue::text = $1",
        )
        .bind(queue)
        .fetch_one(&shop.app.db)
        .await
        .unwrap()
    };
    let (high, default, low) = (mean("high").await, mean("default").await, mean("low").await);
    assert!(high < default && default < low, "{high} {default} {low}");
    let first_low = shop
        .count("select min(place) from (select queue, row_number() over (order by finished_at) as place from jobs) t where queue = 'low'")
        .await;
    assert!(first_low < 300, "the first low job came as number {first_low}");
}

#[tokio::test]
async fn a_paused_queue_rests_in_every_worker_until_it_is_resumed() {
    let shop = TestSystem::start().await;
    let staff = shop.app.staff().await;
    let _workers = [WorkerProcess::start(&shop, &[]), WorkerProcess::start(&shop, &[])];
    staff.post("/v1/ops/queues/default/pause", json!({})).await.done(200);
    shop.jobs("noop", "default", json!({}), 5).await;
    shop.jobs("noop", "high", json!({}), 5).await;
    shop.until_count("the other queue goes on", DONE, 5).await;
    assert_eq!(shop.count("select count(*) from jobs where queue = 'default' and state = 'ready'").await, 5);
    staff.post("/v1/ops/queues/default/resume", json!({})).await.done(200);
    shop.until_count("the paused jobs run", DONE, 10).await;
}

#[tokio::test]
async fn a_graceful_stop_finishes_what_runs_and_loses_no_attempt() {
    let shop = TestSystem::start().await;
    shop.jobs("noop", "default", json!({ "wait_ms": 300 }), 200).await;
    let worker = WorkerProcess::start(&shop, &[]);
    until("jobs run", async || shop.count("select count(*) from jobs where state = 'running'").await > 10).await;
    worker.signal("TERM").await;
    assert!(worker.ended().await.success());
    assert_eq!(shop.count("select count(*) from jobs where state = 'running'").await, 0);
    assert_eq!(shop.count("select count(*) from job_attempts").await, 0);
    assert_eq!(shop.count("select count(*) from jobs where state = 'ready' and max_attempt - attempt <> 4").await, 0);
    assert_eq!(shop.count("select count(*) from workers").await, 0);
    let _next = WorkerProcess::start(&shop, &[]);
    shop.until_count("the rest is done by the next", DONE, 200).await;
}

#[tokio::test]
async fn a_delayed_job_runs_when_it_is_due() {
    let shop = TestSystem::start().await;
    let _worker = WorkerProcess::start(&shop, &[]);
    shop.jobs("noop", "default", json!({}), 1).await;
    shop.until_count("the worker works", DONE, 1).await;
    sqlx::query("insert into jobs (queue, kind, args, max_attempt, run_at) values ('default', 'noop', '{}', 4, now() + interval '1500 ms')")
        .execute(&shop.app.db)
        .await
        .unwrap();
    shop.until_count("the delayed one is done", DONE, 2).await;
    assert_eq!(shop.count("select count(*) from jobs where finished_at < run_at").await, 0);
}

#[tokio::test]
async fn a_tick_of_the_clock_runs_once_with_three_workers_up() {
    let shop = TestSystem::start().await;
    let settings = [("REAPER_SCHEDULE", "* * * * * *")];
    let _workers = [
        WorkerProcess::start(&shop, &settings),
        WorkerProcess::start(&shop, &settings),
        WorkerProcess::start(&shop, &settings),
    ];
    let ticks = "select count(*) from jobs where kind = 'reap' and state = 'done'";
    until("the clock has ticked", async || shop.count(ticks).await >= 3).await;
    let twice =
        "select count(*) from (select from jobs where args ? 'at' group by kind, args ->> 'at' having count(*) > 1) t";
    assert_eq!(shop.count(twice).await, 0);
    assert_eq!(shop.count("select count(*) from clockwork where name = 'reap'").await, 1);
}

#[tokio::test]
async fn the_reaper_releases_exactly_what_is_overdue() {
    let shop = TestSystem::start().await;
    let alice = shop.app.customer().await;
    let (overdue, fresh) = (shop.order(&alice, "tok_ok").await, shop.order(&alice, "tok_ok").await);
    let id: Uuid = overdue.rsplit('/').next().unwrap().parse().unwrap();
    sqlx::query("update reservations set expires_at = now() - interval '1 second' where order_id = $1")
        .bind(id)
        .execute(&shop.app.db)
        .await
        .unwrap();
    // Only the low queue: nobody pays, the clock ticks.
    let _worker = WorkerProcess::start(&shop, &[("WORKER_QUEUES", "low"), ("REAPER_SCHEDULE", "* * * * * *")]);
    let cancelled = shop.reaches(&alice, &overdue, "cancelled").await;
    assert_eq!(cancelled["cancel_reason"], "reservation_expired");
    assert_eq!(alice.get(&fresh).await.done(200).body["status"], "pending");
    assert_eq!(shop.stock().await, (1000, 1));
}

#[tokio::test]
async fn a_backlog_of_many_jobs_runs_through_several_workers_each_once() {
    let shop = TestSystem::start().await;
    shop.jobs("noop", "default", json!({}), 5000).await;
    let _workers = [WorkerProcess::start(&shop, &[]), WorkerProcess::start(&shop, &[])];
    shop.until_count("all are done", DONE, 5000).await;
    assert_eq!(
        shop.count(LIVE).await
            - shop.count("select count(*) from jobs where kind <> 'noop' and state in ('ready', 'running')").await,
        0
    );
    assert_eq!(shop.count("select count(*) from jobs where kind = 'noop' and attempt <> 1").await, 0);
}
