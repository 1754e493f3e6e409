//! `/v1/ops/workers`.

use serde_json::json;
use testkit::app::TestApp;

use super::sql;

#[tokio::test]
async fn workers_that_live_are_shown_with_what_they_run() {
    let app = TestApp::new().await;
    sql(
        &app,
        "insert into workers (id, host, pid, version, queues, kinds, heartbeat_at) values
         ('00000000-0000-7000-8000-000000000001', 'mill-1', 11, '0.1.0', '{high,default}', '{noop/1}', now()),
         ('00000000-0000-7000-8000-000000000002', 'mill-2', 12, '0.1.0', '{low}', '{noop/1}', now() - interval '1 minute');
         insert into jobs (queue, kind, args, state, max_attempt, worker, lease_until, started_at) values
         ('high', 'noop', '{}', 'running', 8, '00000000-0000-7000-8000-000000000001', now() + interval '10 s', now())",
    )
    .await;
    let workers = app.staff().await.get("/v1/ops/workers").await.done(200);

    let data = workers.body["data"].as_array().unwrap();
    assert_eq!(data.len(), 1, "one has been silent for long: {data:?}");
    let worker = &data[0];
    assert_eq!((&worker["host"], &worker["pid"], &worker["version"]), (&json!("mill-1"), &json!(11), &json!("0.1.0")));
    assert_eq!((&worker["queues"], &worker["running"]), (&json!(["high", "default"]), &json!(1)));
    assert_eq!(worker["running_jobs"][0]["kind"], "noop");
    assert!(worker["since"].is_string() && worker["last_heartbeat"].is_string());
}
