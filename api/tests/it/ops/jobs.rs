//! `/v1/ops/jobs`: list, retry, discard.

use serde_json::json;
use testkit::app::TestApp;
use testkit::person::Reply;
use uuid::Uuid;

use super::{dead_job, shop_with_a_past, sql};

fn ids(reply: &Reply) -> Vec<&str> {
    reply.body["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn jobs_are_listed_newest_first_and_filtered() {
    let app = TestApp::new().await;
    shop_with_a_past(&app).await;
    let staff = app.staff().await;
    let slow = dead_job(&app, "noop", "low", "slow").await;
    let lost = dead_job(&app, "noop", "low", "lost").await;
    let other = dead_job(&app, "tick", "low", "slow").await;

    let all = staff.get("/v1/ops/jobs").await.done(200);
    assert_eq!(ids(&all)[..3], [&other, &lost, &slow]);
    assert_eq!(all.body["data"][0]["error_fingerprint"], "slow");
    assert_eq!(all.body["data"].as_array().unwrap().len(), 5 + 2 + 3);
    for (filter, expected) in [
        ("state=dead&kind=noop", vec![&lost, &slow]),
        ("error=slow", vec![&other, &slow]),
        ("queue=low&error=slow&kind=tick", vec![&other]),
        ("state=running", vec![]),
        ("queue=high&kind=tick", vec![]),
    ] {
        assert_eq!(ids(&staff.get(&format!("/v1/ops/jobs?{filter}")).await.done(200)), expected, "{filter}");
    }
    let order: Uuid =
        sqlx::query_scalar("select id from orders where status = 'delivered'").fetch_one(&app.db).await.unwrap();
    let of_order = staff.get(&format!("/v1/ops/jobs?order_id={order}")).await.done(200);
    let kinds = of_order.body["data"].as_array().unwrap().iter().map(|job| job["kind"].as_str().unwrap());
    assert_eq!(kinds.collect::<Vec<_>>(), ["ship_order", "process_payment"]);

    // Paging neither loses nor repeats a job.
    let mut paged = Vec::new();
    let mut path = "/v1/ops/jobs?limit=3".to_owned();
    loop {
        let page = staff.get(&path).await.done(200);
        paged.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = format!("/v1/ops/jobs?limit=3&cursor={cursor}");
    }
    assert_eq!(paged, ids(&all));

    staff.get("/v1/ops/jobs?state=stuck").await.refused(422, "invalid_value");
    staff.get("/v1/ops/jobs?order_id=7").await.refused(422, "invalid_value");
    staff.get("/v1/ops/jobs?colour=red").await.refused(422, "unknown_field");
    staff.get("/v1/ops/jobs?limit=501").await.refused(422, "invalid_limit");
}

#[tokio::test]
async fn jobs_are_found_by_time_worker_request_and_action_on_many() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let early = dead_job(&app, "noop", "low", "slow").await;
    let late = dead_job(&app, "noop", "low", "slow").await;
    let (worker, bulk) = (Uuid::now_v7(), Uuid::now_v7());
    sql(
        &app,
        &format!("update jobs set worker = '{worker}', created_at = '2026-11-21T08:00:00Z' where id = '{early}'"),
    )
    .await;
    sql(&app, &format!("update jobs set request_id = 'r-17', bulk_id = '{bulk}' where id = '{late}'")).await;
    let nobody = Uuid::now_v7();
    for (filter, expected) in [
        (format!("worker_id={worker}"), vec![&early]),
        (format!("worker_id={nobody}"), vec![]),
        ("request_id=r-17&kind=noop".to_owned(), vec![&late]),
        ("request_id=r-1".to_owned(), vec![]),
        (format!("bulk_id={bulk}"), vec![&late]),
        ("from=2026-11-21T09:00:00Z".to_owned(), vec![&late]),
        ("to=2099-01-01T00:00:00Z".to_owned(), vec![&late, &early]),
        ("from=2099-01-01T00:00:00Z".to_owned(), vec![]),
    ] {
        assert_eq!(ids(&staff.get(&format!("/v1/ops/jobs?{filter}")).await.done(200)), expected, "{filter}");
    }
    staff.get("/v1/ops/jobs?worker_id=7").await.refused(422, "invalid_value");
    staff.get("/v1/ops/jobs?from=yesterday").await.refused(422, "invalid_value");
}

/// No index tells which jobs a worker ran. A page looks at 20,000 jobs, says so by its cursor, and the next one goes on.
#[tokio::test]
async fn a_job_far_back_is_found_on_a_later_page() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let (worker, first) = (Uuid::now_v7(), dead_job(&app, "noop", "low", "slow").await);
    sql(&app, &format!("update jobs set worker = '{worker}' where id = '{first}'")).await;
    let many = "insert into jobs (id, queue, kind, args, max_attempt, state)
                select uuidv7(), 'low', 'noop', '{}', 8, 'dead' from generate_series(1, 20500)";
    sql(&app, many).await;
    let page = staff.get(&format!("/v1/ops/jobs?worker_id={worker}")).await.done(200);
    assert_eq!(ids(&page), [""; 0]);
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let page = staff.get(&format!("/v1/ops/jobs?worker_id={worker}&cursor={cursor}")).await.done(200);
    assert_eq!(ids(&page), [&first]);
    assert!(page.body["next_cursor"].is_null());
}

#[tokio::test]
async fn a_job_shows_every_failed_attempt() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let id = dead_job(&app, "noop", "default", "boom").await;

    let job = staff.get(&format!("/v1/ops/jobs/{id}")).await.done(200).body;
    assert_eq!((&job["state"], &job["attempt"], &job["error"]), (&json!("dead"), &json!(2), &json!("boom")));
    let attempts = job["attempts"].as_array().unwrap();
    assert_eq!(attempts.iter().map(|one| one["attempt"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(
        (&attempts[0]["host"], &attempts[0]["duration_ms"], &attempts[0]["outcome"], &attempts[0]["error"]),
        (&json!("mill-7"), &json!(250), &json!("transient"), &json!("boom"))
    );
    assert!(attempts[0]["worker_id"].is_string() && attempts[0]["started_at"].is_string());

    staff.get(&format!("/v1/ops/jobs/{}", Uuid::now_v7())).await.refused(404, "job_not_found");
}

#[tokio::test]
async fn a_dead_job_is_retried_with_a_fresh_budget_and_its_history() {
    let app = TestApp::with(&["--job-max-attempts", "5"]).await;
    shop_with_a_past(&app).await;
    let staff = app.staff().await;
    let dead = staff.get("/v1/ops/jobs?state=dead").await.done(200);
    let (id, order) = (ids(&dead)[0].to_owned(), dead.body["data"][0]["order_id"].as_str().unwrap().to_owned());
    let order = format!("/v1/orders/{order}");
    assert_eq!(staff.get(&order).await.done(200).body["next_action"]["by"], "staff");
    let path = format!("/v1/ops/jobs/{id}/retry");

    let retried = staff.post_with_key(&path, "again", json!({})).await.done(200);
    let job = &retried.body;
    assert_eq!((&job["state"], &job["attempt"], &job["max_attempt"]), (&json!("ready"), &json!(8), &json!(13)));
    assert_eq!(job["error"], "no answer");
    assert_eq!(staff.get(&order).await.done(200).body["next_action"]["by"], "worker");
    assert_eq!(timeline(&app, &order).await, ["placed", "processing", "job_retried"]);

    // The same key returns the same answer. Another request finds a job that is not dead.
    let replayed = staff.post_with_key(&path, "again", json!({})).await.done(200);
    assert_eq!((replayed.header("idempotent-replayed"), &replayed.body), ("true", job));
    staff.post(&path, json!({})).await.refused(409, "job_not_dead");
    staff.post(&format!("/v1/ops/jobs/{id}/discard"), json!({})).await.refused(409, "job_not_dead");
    staff.post(&format!("/v1/ops/jobs/{}/retry", Uuid::now_v7()), json!({})).await.refused(404, "job_not_found");
    assert_eq!(&staff.get(&format!("/v1/ops/jobs/{id}")).await.done(200).body, job);
    assert_eq!(timeline(&app, &order).await.len(), 3);
}

#[tokio::test]
async fn a_discarded_job_leaves_its_order_with_staff() {
    let app = TestApp::new().await;
    shop_with_a_past(&app).await;
    let staff = app.staff().await;
    let dead = staff.get("/v1/ops/jobs?state=dead").await.done(200);
    let order = format!("/v1/orders/{}", dead.body["data"][0]["order_id"].as_str().unwrap());
    let path = format!("/v1/ops/jobs/{}", ids(&dead)[0]);

    let discarded = staff.post(&format!("{path}/discard"), json!({})).await.done(200);
    assert_eq!(discarded.body["state"], "discarded");
    assert_eq!(staff.get(&order).await.done(200).body["next_action"]["by"], "staff");
    assert_eq!(timeline(&app, &order).await, ["placed", "processing", "job_discarded"]);

    staff.post(&format!("{path}/discard"), json!({})).await.refused(409, "job_not_dead");
    staff.post(&format!("{path}/retry"), json!({})).await.refused(409, "job_not_dead");
    staff.post(&format!("/v1/ops/jobs/{}/discard", Uuid::now_v7()), json!({})).await.refused(404, "job_not_found");
    assert_eq!(staff.get(&path).await.done(200).body, discarded.body);
}

/// The types of the order's events.
async fn timeline(app: &TestApp, order: &str) -> Vec<String> {
    let events = app.staff().await.get(&format!("{order}/events")).await.done(200);
    events.body["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn many_dead_jobs_are_retried_by_what_killed_them() {
    let app = TestApp::new().await;
    shop_with_a_past(&app).await;
    let staff = app.staff().await;
    let mut dead = Vec::new();
    for (kind, queue, error) in [
        ("noop", "low", "slow"),
        ("noop", "low", "lost"),
        ("tick", "low", "slow"),
        ("noop", "high", "slow"),
        ("noop", "low", "slow"),
    ] {
        dead.push(dead_job(&app, kind, queue, error).await);
    }
    // Two dead jobs of one order write two events.
    sql(&app, "update jobs set order_id = (select id from orders where status = 'processing') where error = 'slow' and kind = 'noop'").await;

    for wrong in [json!(0), json!(10_001), json!("all")] {
        staff
            .post("/v1/ops/jobs/retry", json!({ "limit": wrong }))
            .await
            .refused(422, if wrong.is_string() { "invalid_value" } else { "invalid_limit" });
    }
    for without in [json!({}), json!({ "kind": "noop" })] {
        staff.post("/v1/ops/jobs/retry", without).await.refused(422, "missing_field");
    }
    staff.post("/v1/ops/jobs/retry", json!({ "limit": 5, "state": "dead" })).await.refused(422, "unknown_field");
    assert_eq!(ids(&staff.get("/v1/ops/jobs?state=dead").await.done(200)).len(), 6, "nothing has changed");

    let asked = json!({ "kind": "noop", "queue": "low", "error": "slow", "limit": 10 });
    let retried = staff.post_with_key("/v1/ops/jobs/retry", "many", asked.clone()).await.done(200);
    assert_eq!(retried.body, json!({ "retried": 2 }));
    assert_eq!(staff.post_with_key("/v1/ops/jobs/retry", "many", asked).await.done(200).body, json!({ "retried": 2 }));
    let ready = staff.get("/v1/ops/jobs?state=ready&queue=low").await.done(200);
    assert_eq!(ids(&ready), [&dead[4], &dead[0]]);

    // The oldest jobs first, and at most `limit` of them. The payment job of the order is older than the rest.
    let one = staff.post("/v1/ops/jobs/retry", json!({ "limit": 1 })).await.done(200);
    assert_eq!(one.body, json!({ "retried": 1 }));
    let left = staff.get("/v1/ops/jobs?state=dead").await.done(200);
    assert_eq!(ids(&left), [&dead[3], &dead[2], &dead[1]]);
    let order: Uuid =
        sqlx::query_scalar("select id from orders where status = 'processing'").fetch_one(&app.db).await.unwrap();
    let events = timeline(&app, &format!("/v1/orders/{order}")).await;
    assert_eq!(events, ["placed", "processing", "job_retried", "job_retried", "job_retried"]);
}
