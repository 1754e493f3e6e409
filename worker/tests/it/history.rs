//! What a real worker leaves behind for staff: its statistics, its schedules, and that it is gone.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use testkit::app::TestApp;
use testkit::workers::{TestSystem, WorkerProcess};

#[tokio::test]
async fn what_a_worker_did_is_in_the_history_also_after_a_restart() {
    let system = TestSystem::start().await;
    let worker = WorkerProcess::start(&system, &[]);
    let alice = system.app.customer().await;
    let order = system.order(&alice, "tok_ok").await;
    system.reaches(&alice, &order, "delivered").await;
    system.until_count("the depths are written", "select count(*) from queue_history where step = 10 limit 1", 3).await;
    worker.signal("TERM").await;
    assert!(worker.ended().await.success());
    system.app.state.metrics.shared.counted.write(&system.app.state.db).await.unwrap();

    let (from, to) = (Utc::now() - TimeDelta::minutes(10), Utc::now() + TimeDelta::minutes(1));
    let path = format!("/v1/ops/history?step=10s&from={}&to={}", time(from), time(to));
    let history = system.app.staff().await.get(&path).await.done(200).body;
    for kind in ["process_payment", "ship_order", "deliver_order"] {
        assert_eq!(sum(&history, "jobs", "count", |row| row["kind"] == kind && row["outcome"] == "done"), 1, "{kind}");
    }
    assert!(history["waits"].as_array().unwrap().iter().any(|row| row["queue"] == "high" && row["p95_ms"].is_number()));
    assert!(history["runs"].as_array().unwrap().iter().any(|row| row["kind"] == "process_payment"));
    assert_eq!(sum(&history, "orders", "placed", |row| row["currency"] == "USD"), 1);
    assert_eq!(sum(&history, "orders", "value", |_| true), 1250);
    assert!(history["depths"].as_array().unwrap().len() >= 3);

    let again = TestApp::on(&system.app.database_url, &[]).await;
    let same = again.staff().await.get(&path).await.done(200).body;
    // Not `requests`: this test makes some meanwhile.
    for series in ["jobs", "waits", "runs", "depths", "orders"] {
        assert_eq!(same[series], history[series], "{series}");
    }
}

#[tokio::test]
async fn a_worker_says_what_it_runs_by_the_clock_and_that_it_stops() {
    let system = TestSystem::start().await;
    let worker = WorkerProcess::start(&system, &[("REAPER_SCHEDULE", "* * * * * *"), ("WORKER_CONCURRENCY", "7")]);
    system.until_count("the reaper has run", "select count(*) from clockwork where name = 'reap'", 1).await;
    system.until_count("all are announced", "select count(*) from schedules", 4).await;
    let staff = system.app.staff().await;
    let clock = staff.get("/v1/ops/clock").await.done(200).body;
    let reap = clock["data"].as_array().unwrap().iter().find(|it| it["name"] == "reap").unwrap().clone();
    assert_eq!(reap["schedule"], "* * * * * *");
    for field in ["what", "last_tick_at", "last_state", "last_success_at", "next_at"] {
        assert!(reap[field].is_string(), "{field}: {reap}");
    }
    let workers = staff.get("/v1/ops/workers").await.done(200).body;
    assert_eq!((&workers["data"][0]["concurrency"], &workers["gone"]), (&json!(7), &json!([])));
    let summary = staff.get("/v1/ops/summary").await.done(200).body;
    assert_eq!((&summary["fleet"]["workers"], &summary["fleet"]["places"]), (&json!(1), &json!(7)));

    worker.signal("TERM").await;
    assert!(worker.ended().await.success());
    let workers = staff.get("/v1/ops/workers").await.done(200).body;
    assert_eq!((&workers["data"], &workers["gone"][0]["stopped"]), (&json!([]), &json!(true)));
}

fn sum(history: &Value, series: &str, field: &str, of: impl Fn(&Value) -> bool) -> i64 {
    let rows = history[series].as_array().unwrap().iter().filter(|row| of(row));
    rows.map(|row| row[field].as_i64().unwrap()).sum()
}

fn time(at: chrono::DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
