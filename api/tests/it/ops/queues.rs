//! `/v1/ops/queues`, and the roles that may use the routes of operations.

use std::time::Duration;

use serde_json::{Value, json};
use shared::queue::claim::Claimer;
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
