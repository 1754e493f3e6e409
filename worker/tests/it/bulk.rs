//! Actions on many jobs, whose steps are jobs themselves: kills in the middle, and jobs that somebody else holds.

use serde_json::{Value, json};
use testkit::person::Person;
use testkit::until::until;
use testkit::workers::{TestSystem, WorkerProcess};

const TAKEN: &str = "select done from bulk_actions";

/// So many jobs that died of one error in their first attempt.
async fn dead_jobs(system: &TestSystem, count: i32) {
    system.jobs("noop", "low", json!({}), count).await;
    sqlx::query(
        "update jobs set state = 'dead', attempt = 1, error = 'aa', error_fingerprint = 'aa', finished_at = now()",
    )
    .execute(&system.app.db)
    .await
    .unwrap();
}

async fn retry_all(staff: &Person<'_>) -> String {
    let body = json!({ "action": "retry", "filter": { "error": "aa" }, "reason": "repaired" });
    let started = staff.post("/v1/ops/bulk", body).await.done(202);
    format!("/v1/ops/bulk/{}", started.body["id"].as_str().unwrap())
}

async fn reaches(staff: &Person<'_>, action: &str, state: &str) -> Value {
    let mut last = Value::Null;
    until(&format!("the action is {state}"), async || {
        last = staff.get(action).await.done(200).body;
        last["state"] == state
    })
    .await;
    last
}

#[tokio::test]
async fn an_action_whose_worker_is_killed_in_the_middle_takes_every_job_once() {
    let system = TestSystem::start().await;
    dead_jobs(&system, 2400).await;
    let staff = system.app.staff().await;
    let first = WorkerProcess::start(&system, &[]);
    let action = retry_all(&staff).await;
    until("some steps are taken", async || system.count(TAKEN).await >= 1000).await;
    first.kill().await;
    assert!(system.count(TAKEN).await < 2400, "the kill came in the middle");
    let _second = WorkerProcess::start(&system, &[]);
    let done = reaches(&staff, &action, "done").await;
    assert_eq!((&done["done"], &done["refused"]), (&json!(2400), &json!(0)), "{done}");
    // A retry gives four further attempts from the first. Who was taken twice would have more.
    assert_eq!(system.count("select count(*) from jobs where kind = 'noop' and max_attempt = 5").await, 2400);
    system.until_count("all have run", "select count(*) from jobs where kind = 'noop' and state = 'done'", 2400).await;
}

#[tokio::test]
async fn an_action_waits_for_a_job_that_somebody_else_holds() {
    let system = TestSystem::start().await;
    dead_jobs(&system, 3).await;
    let staff = system.app.staff().await;
    let mut held = system.app.db.begin().await.unwrap();
    sqlx::query("select from jobs where kind = 'noop' for update").fetch_all(&mut *held).await.unwrap();
    let _worker = WorkerProcess::start(&system, &[]);
    let action = retry_all(&staff).await;
    let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    system.until_count("the step waits", waits, 1).await;
    assert_eq!(staff.get(&action).await.done(200).body["state"], "running", "it has not ended without them");
    held.rollback().await.unwrap();
    assert_eq!(reaches(&staff, &action, "done").await["done"], 3);
}
