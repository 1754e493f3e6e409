//! Several workers at once: kills, freezes, priorities, pauses, graceful stops.

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
    let system = TestSystem::start().await;
    let first = WorkerProcess::start(&system, &[]);
    let alice = system.app.customer().await;
    let order = system.order(&alice, "tok_slow_1000").await;
    system.reaches(&alice, &order, "processing").await;
    first.kill().await;
    let _second = WorkerProcess::start(&system, &[]);
    system.reaches(&alice, &order, "delivered").await;
    assert_eq!(system.charges().await, (1, 0));
    assert_eq!(system.count("select count(*) from job_attempts where outcome = 'lease_lost'").await, 1);
}

#[tokio::test]
async fn a_frozen_workers_commit_is_refused_when_it_goes_on() {
    let system = TestSystem::start().await;
    let frozen = WorkerProcess::start(&system, &[]);
    let alice = system.app.customer().await;
    let order = system.order(&alice, "tok_slow_1000").await;
    system.reaches(&alice, &order, "processing").await;
    frozen.signal("STOP").await;
    let _second = WorkerProcess::start(&system, &[]);
    system.reaches(&alice, &order, "delivered").await;
    frozen.signal("CONT").await;
    // The worker sends heartbeats again. Its old attempt changes nothing.
    let awake = format!(
        "select count(*) from workers where pid = {} and heartbeat_at > now() - interval '500 ms'",
        frozen.pid()
    );
    until("the frozen worker is awake", async || {
        sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(awake.clone())).fetch_one(&system.app.db).await.unwrap() == 1
    })
    .await;
    frozen.signal("TERM").await;
    assert!(frozen.ended().await.success());
    assert_eq!(system.charges().await, (1, 0));
    assert_eq!(system.stock().await, (999, 0));
}

#[tokio::test]
async fn a_claim_whose_reply_is_lost_is_run_by_another_worker_after_its_lease_and_its_effect_happens_once() {
    let system = TestSystem::start().await;
    let (proxy, through) = through_a_proxy(&system.app.database_url).await;
    // Jobs of the clock are on the low queue, so the claim that is lost is the one of the payment.
    let settings = [("DATABASE_URL", through.as_str()), ("WORKER_CONCURRENCY", "1"), ("WORKER_QUEUES", "high")];
    let _first = WorkerProcess::start(&system, &settings);
    system.until_count("the worker runs", "select count(*) from workers", 1).await;

    proxy.lose_answer_to("set state = 'running'");
    let alice = system.app.customer().await;
    let order = system.order(&alice, "tok_ok").await;
    until("the claim is made and its reply is lost", async || proxy.cuts() == 1).await;
    assert_eq!(system.count("select count(*) from jobs where kind = 'process_payment' and state = 'running'").await, 1);
    // From now on its only slot is taken, and it renews the lease of that job only.
    system.jobs("noop", "high", json!({ "wait_ms": 30_000 }), 1).await;
    system
        .until_count(
            "the worker runs the other job",
            "select count(*) from jobs where kind = 'noop' and state = 'running'",
            1,
        )
        .await;

    let _second = WorkerProcess::start(&system, &[]);
    system.reaches(&alice, &order, "delivered").await;
    assert_eq!(system.charges().await, (1, 0));
    let lost = "select count(*) from job_attempts a join jobs j on j.id = a.job_id
                 where a.outcome = 'lease_lost' and j.state = 'done' and j.attempt = 2 and j.worker <> a.worker";
    assert_eq!(system.count(lost).await, 1);
    assert_eq!(system.count("select count(*) from job_attempts").await, 1);
}

#[tokio::test]
async fn a_job_that_kills_its_process_does_not_loop_for_ever() {
    let system = TestSystem::start().await;
    system.jobs("noop", "default", json!({ "wait_ms": 60_000 }), 1).await;
    // A worker that gets no CPU time loses such a short lease while it runs, and claims the job again: one more
    // attempt.
    let mut attempt = 0;
    while attempt < 4 {
        let worker = WorkerProcess::start(&system, &[("JOB_LEASE", "500ms")]);
        until("the job is taken again", async || {
            let before = std::mem::replace(&mut attempt, system.count(ATTEMPT).await);
            before < attempt
        })
        .await;
        worker.kill().await;
    }
    let _worker = WorkerProcess::start(&system, &[("JOB_LEASE", "500ms")]);
    system.until_count("the job is dead", "select count(*) from jobs where kind = 'noop' and state = 'dead'", 1).await;
    assert_eq!(
        system.count("select count(*) from job_attempts a join jobs j on j.id = job_id and kind = 'noop'").await,
        4
    );
}

#[tokio::test]
async fn an_undecodable_job_is_dead_at_once_and_a_job_of_an_unknown_kind_after_its_time() {
    let system = TestSystem::start().await;
    system.jobs("process_payment", "high", json!({ "order": "?" }), 1).await;
    // More jobs than maintenance rings at once, and older than the jobs of known kinds.
    system.jobs("unknown_kind", "default", json!({}), 2500).await;
    system.jobs("of_the_next_version", "default", json!({}), 10).await;
    system.jobs("noop", "default", json!({}), 20).await;
    // As if all were written an hour ago and no worker had run since.
    sqlx::query("update jobs set run_at = run_at - interval '1 hour'").execute(&system.app.db).await.unwrap();
    let _worker = WorkerProcess::start(&system, &[("JOB_UNKNOWN_AFTER", "3s")]);
    system.until_count("the worker runs", "select count(*) from workers", 1).await;
    // The first worker that knows this kind starts only now.
    sqlx::query(
        "insert into workers (id, host, pid, version, queues, kinds, heartbeat_at)
         select gen_random_uuid(), host, pid, '2.0.0', queues, kinds || array['of_the_next_version/1'], now() + interval '1 hour'
           from workers",
    )
    .execute(&system.app.db)
    .await
    .unwrap();
    system.until_count("the other jobs are done", DONE, 20).await;
    system.until_count("the undecodable job is dead", UNDECODABLE, 1).await;
    system
        .until_count(
            "the jobs of an unknown kind are dead",
            "select count(*) from jobs where kind = 'unknown_kind' and state = 'dead'",
            2500,
        )
        .await;
    let too_soon = "select count(*) from jobs, workers
                     where kind = 'unknown_kind' and workers.version <> '2.0.0' and finished_at < workers.started_at + interval '3 seconds'";
    assert_eq!(system.count(too_soon).await, 0);
    assert_eq!(
        system.count("select count(*) from jobs where kind = 'of_the_next_version' and state = 'ready'").await,
        10
    );
}

#[tokio::test]
async fn high_comes_before_default_before_low_and_low_is_not_starved() {
    let system = TestSystem::start().await;
    for queue in ["low", "default", "high"] {
        system.jobs("noop", queue, json!({ "wait_ms": 2 }), 150).await;
    }
    let _worker = WorkerProcess::start(&system, &[("WORKER_CONCURRENCY", "4")]);
    system.until_count("all are done", DONE, 450).await;
    let mean = async |queue: &str| -> f64 {
        sqlx::query_scalar(
            "select avg(place)::float8 from (select queue, row_number() over (order by finished_at) as place from jobs) t where queue::text = $1",
        )
        .bind(queue)
        .fetch_one(&system.app.db)
        .await
        .unwrap()
    };
    let (high, default, low) = (mean("high").await, mean("default").await, mean("low").await);
    assert!(high < default && default < low, "{high} {default} {low}");
    let first_low = system
        .count("select min(place) from (select queue, row_number() over (order by finished_at) as place from jobs) t where queue = 'low'")
        .await;
    assert!(first_low < 300, "the first low job came as number {first_low}");
}

#[tokio::test]
async fn no_worker_takes_from_a_paused_queue_until_it_is_resumed() {
    let system = TestSystem::start().await;
    let staff = system.app.staff().await;
    let _workers = [WorkerProcess::start(&system, &[]), WorkerProcess::start(&system, &[])];
    staff.post("/v1/ops/queues/default/pause", json!({})).await.done(200);
    system.jobs("noop", "default", json!({}), 5).await;
    system.jobs("noop", "high", json!({}), 5).await;
    system.until_count("the other queue goes on", DONE, 5).await;
    assert_eq!(system.count("select count(*) from jobs where queue = 'default' and state = 'ready'").await, 5);
    staff.post("/v1/ops/queues/default/resume", json!({})).await.done(200);
    system.until_count("the paused jobs run", DONE, 10).await;
}

#[tokio::test]
async fn a_graceful_stop_finishes_what_runs_and_loses_no_attempt() {
    let system = TestSystem::start().await;
    system.jobs("noop", "default", json!({ "wait_ms": 300 }), 200).await;
    let worker = WorkerProcess::start(&system, &[]);
    until("jobs run", async || system.count("select count(*) from jobs where state = 'running'").await > 10).await;
    worker.signal("TERM").await;
    assert!(worker.ended().await.success());
    assert_eq!(system.count("select count(*) from jobs where state = 'running'").await, 0);
    assert_eq!(system.count("select count(*) from job_attempts").await, 0);
    assert_eq!(system.count("select count(*) from jobs where state = 'ready' and max_attempt - attempt <> 4").await, 0);
    assert_eq!(system.count("select count(*) from workers where gone_at is null").await, 0);
    let _next = WorkerProcess::start(&system, &[]);
    system.until_count("the rest is done by the next", DONE, 200).await;
}

#[tokio::test]
async fn a_delayed_job_runs_when_it_is_due() {
    let system = TestSystem::start().await;
    let _worker = WorkerProcess::start(&system, &[]);
    system.jobs("noop", "default", json!({}), 1).await;
    system.until_count("the worker works", DONE, 1).await;
    sqlx::query("insert into jobs (queue, kind, args, max_attempt, run_at) values ('default', 'noop', '{}', 4, now() + interval '1500 ms')")
        .execute(&system.app.db)
        .await
        .unwrap();
    system.until_count("the delayed one is done", DONE, 2).await;
    assert_eq!(system.count("select count(*) from jobs where finished_at < run_at").await, 0);
}

#[tokio::test]
async fn a_tick_of_the_clock_runs_once_with_three_workers_up() {
    let system = TestSystem::start().await;
    let settings = [("REAPER_SCHEDULE", "* * * * * *")];
    let _workers = [
        WorkerProcess::start(&system, &settings),
        WorkerProcess::start(&system, &settings),
        WorkerProcess::start(&system, &settings),
    ];
    let ticks = "select count(*) from jobs where kind = 'reap' and state = 'done'";
    until("the schedule has run three times", async || system.count(ticks).await >= 3).await;
    let twice =
        "select count(*) from (select from jobs where args ? 'at' group by kind, args ->> 'at' having count(*) > 1) t";
    assert_eq!(system.count(twice).await, 0);
    assert_eq!(system.count("select count(*) from clockwork where name = 'reap'").await, 1);
}

#[tokio::test]
async fn the_reaper_releases_exactly_what_is_overdue() {
    let system = TestSystem::start().await;
    let alice = system.app.customer().await;
    let (overdue, fresh) = (system.order(&alice, "tok_ok").await, system.order(&alice, "tok_ok").await);
    let id: Uuid = overdue.rsplit('/').next().unwrap().parse().unwrap();
    sqlx::query("update reservations set expires_at = now() - interval '1 second' where order_id = $1")
        .bind(id)
        .execute(&system.app.db)
        .await
        .unwrap();
    // The worker takes only the low queue: nobody pays, but the reaper runs.
    let _worker = WorkerProcess::start(&system, &[("WORKER_QUEUES", "low"), ("REAPER_SCHEDULE", "* * * * * *")]);
    let cancelled = system.reaches(&alice, &overdue, "cancelled").await;
    assert_eq!(cancelled["cancel_reason"], "reservation_expired");
    assert_eq!(alice.get(&fresh).await.done(200).body["status"], "pending");
    assert_eq!(system.stock().await, (1000, 1));
}

#[tokio::test]
async fn a_backlog_of_many_jobs_runs_through_several_workers_each_once() {
    let system = TestSystem::start().await;
    system.jobs("noop", "default", json!({}), 5000).await;
    let _workers = [WorkerProcess::start(&system, &[]), WorkerProcess::start(&system, &[])];
    system.until_count("all are done", DONE, 5000).await;
    assert_eq!(
        system.count(LIVE).await
            - system.count("select count(*) from jobs where kind <> 'noop' and state in ('ready', 'running')").await,
        0
    );
    // A job that goes back because a worker is slow begins again, and loses no attempt.
    let lost = "select count(*) from jobs where kind = 'noop' and max_attempt - attempt <> 3";
    assert_eq!(system.count(lost).await, 0);
}
