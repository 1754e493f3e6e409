//! `/v1/ops/queues`, and the roles that may use the routes of operations.

use std::time::Duration;

use serde_json::{Value, json};
use shared::queue::claim::Claimer;
use shared::queue::doorbell::Doorbell;
use shared::queue::maintain::{self, Rules};
use shared::queue::retry::Schedule;
use shared::queue::{Queue, WorkerId, claim};
use shared::values::JobId;
use testkit::app::TestApp;
use uuid::Uuid;

use super::{dead_job, sql};

#[tokio::test]
async fn operations_are_for_staff() {
    let app = TestApp::new().await;
    let job = dead_job(&app, "noop", "default", "boom").await;
    let (nobody, alice) = (app.anyone(), app.customer().await);
    for path in ["queues", "jobs", &format!("jobs/{job}"), "workers", "audit", "summary", "history", "clock"] {
        nobody.get(&format!("/v1/ops/{path}")).await.refused(401, "unauthenticated");
        alice.get(&format!("/v1/ops/{path}")).await.refused(403, "forbidden");
    }
    for path in [
        "queues/low/pause",
        "queues/low/resume",
        &format!("jobs/{job}/retry"),
        &format!("jobs/{job}/discard"),
        "jobs/retry",
    ] {
        nobody.post(&format!("/v1/ops/{path}"), json!({})).await.refused(401, "unauthenticated");
        alice.post(&format!("/v1/ops/{path}"), json!({})).await.refused(403, "forbidden");
    }
    let staff = app.staff().await;
    assert_eq!(staff.get(&format!("/v1/ops/jobs/{job}")).await.done(200).body["state"], "dead");
    let queues = staff.get("/v1/ops/queues").await.done(200);
    assert!(queues.body["data"].as_array().unwrap().iter().all(|queue| queue["paused"] == false));
}

#[tokio::test]
async fn queues_say_what_waits_in_them() {
    let app = TestApp::new().await;
    sql(
        &app,
        "insert into jobs (queue, kind, args, state, max_attempt, run_at, lease_until) values
         ('high', 'noop', '{}', 'ready', 8, now() - interval '90 s', null),
         ('high', 'noop', '{}', 'ready', 8, now() - interval '10 s', null),
         ('high', 'noop', '{}', 'ready', 8, now() + interval '1 hour', null),
         ('high', 'noop', '{}', 'done', 8, now() - interval '1 hour', null),
         ('low', 'noop', '{}', 'running', 8, now() - interval '1 hour', now()),
         ('low', 'noop', '{}', 'dead', 8, now() - interval '1 hour', null)",
    )
    .await;
    let queues = app.staff().await.get("/v1/ops/queues").await.done(200);

    let row = |queue: &Value| {
        let number = |name: &str| queue[name].as_i64().unwrap();
        (number("ready"), number("scheduled"), number("running"), number("dead"))
    };
    let data = queues.body["data"].as_array().unwrap();
    assert_eq!(
        data.iter().map(|queue| queue["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["high", "default", "low"]
    );
    assert_eq!(data.iter().map(row).collect::<Vec<_>>(), [(2, 1, 0, 0), (0, 0, 0, 0), (0, 0, 1, 1)]);
    assert!((90..120).contains(&data[0]["oldest_ready_seconds"].as_i64().unwrap()));
    assert_eq!(data[1]["oldest_ready_seconds"], 0);
}

#[tokio::test]
async fn a_queue_is_paused_and_resumed() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    for _ in 0..2 {
        let paused = staff.post("/v1/ops/queues/default/pause", json!({})).await.done(200);
        assert_eq!((&paused.body["name"], &paused.body["paused"]), (&json!("default"), &json!(true)));
    }
    // No claim takes from the queue, and another process shows it as paused.
    assert_eq!(claimable(&app).await, ["high", "low"]);
    let other = TestApp::on(&app.database_url, &[]).await;
    let queues = other.staff().await.get("/v1/ops/queues").await.done(200);
    assert_eq!(queues.body["data"][1]["paused"], true);

    for _ in 0..2 {
        let resumed = staff.post("/v1/ops/queues/default/resume", json!({})).await.done(200);
        assert_eq!(resumed.body["paused"], false);
    }
    assert_eq!(claimable(&app).await, ["high", "default", "low"]);

    staff.post("/v1/ops/queues/urgent/pause", json!({})).await.refused(404, "queue_not_found");
    staff.post("/v1/ops/queues/low/pause", json!({ "for": "1h" })).await.refused(422, "unknown_field");
    assert_eq!(claimable(&app).await, ["high", "default", "low"]);
}

/// The queues from which a claim gets a job now.
async fn claimable(app: &TestApp) -> Vec<&'static str> {
    let mut tx = app.db.begin().await.unwrap();
    for queue in ["high", "default", "low"] {
        sqlx::query(
            "insert into jobs (queue, kind, args, max_attempt, run_at) values ($1::queue, 'noop', '{}', 8, now())",
        )
        .bind(queue)
        .execute(&mut *tx)
        .await
        .unwrap();
    }
    let ids: Vec<Uuid> = sqlx::query_scalar("select id from jobs").fetch_all(&mut *tx).await.unwrap();
    let ids: Vec<JobId> = ids.into_iter().map(JobId).collect();
    let claimer =
        Claimer { worker: WorkerId(Uuid::now_v7()), lease: Duration::from_secs(10), kinds: vec!["noop/1".to_owned()] };
    let mut queues: Vec<Queue> =
        claim::by_ids(&mut tx, &claimer, &ids).await.unwrap().into_iter().map(|job| job.queue).collect();
    queues.sort();
    queues.into_iter().map(Queue::name).collect()
}

#[tokio::test]
async fn a_pause_says_why_and_by_whom_and_ends_by_itself_at_its_time() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let past = json!({ "resume_at": "2020-01-01T00:00:00Z" });
    staff.post("/v1/ops/queues/low/pause", past).await.refused(422, "invalid_time");
    let until = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let asked = json!({ "reason": "the carrier is down", "resume_at": until });
    let paused = staff.post("/v1/ops/queues/low/pause", asked).await.done(200).body;
    assert_eq!((&paused["paused"], &paused["pause"]["reason"]), (&json!(true), &json!("the carrier is down")));
    assert_eq!(paused["pause"]["by"]["id"], json!(staff.id));
    let actions = staff.get("/v1/ops/actions?action=queue.paused").await.done(200).body;
    assert_eq!(actions["data"][0]["reason"], "the carrier is down");

    let rules = Rules { schedule: RETRY, kinds: Vec::new(), unknown_after: Duration::from_mins(1) };
    let doorbell = Doorbell::new(None, "").unwrap();
    let mut conn = app.state.db.acquire().await.unwrap();
    maintain::repair(&mut conn, &doorbell, &rules, Duration::ZERO).await.unwrap();
    let low = async || staff.get("/v1/ops/queues").await.done(200).body["data"][2].clone();
    assert_eq!(low().await["paused"], true, "its time has not come");
    sql(&app, "update queues set resume_at = now() where name = 'low'").await;
    maintain::repair(&mut conn, &doorbell, &rules, Duration::ZERO).await.unwrap();
    let resumed = low().await;
    assert_eq!((&resumed["paused"], &resumed["pause"]), (&json!(false), &Value::Null));
}

const RETRY: Schedule = Schedule { initial: Duration::from_millis(1), max: Duration::from_millis(4), budget: 8 };
