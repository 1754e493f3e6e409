//! `/v1/ops/summary` and `/v1/ops/history`: the numbers of the overview, and how the statistics are kept.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use shared::history::{Counters, fold};
use shared::retention;
use shared::values::Money;
use testkit::app::TestApp;

use super::metrics::held;
use super::{dead_job, sql};

#[tokio::test]
async fn processes_that_write_at_the_same_time_add_up() {
    let app = TestApp::new().await;
    let processes = (0..20).map(|_| async {
        let counted = Counters::default();
        for outcome in ["done", "retried", "dead"] {
            counted.attempt(&held(), outcome, Duration::from_millis(3), Duration::from_millis(30));
        }
        counted.order(Money::stored(1250, "USD"));
        counted.order(Money::stored(700, "EUR"));
        counted.write(&app.state.db).await
    });
    for written in join_all(processes).await {
        written.unwrap();
    }
    let history = app.staff().await.get("/v1/ops/history?step=1d").await.done(200).body;
    let sum = |series: &str, field: &str| -> i64 {
        history[series].as_array().unwrap().iter().map(|row| row[field].as_i64().unwrap()).sum()
    };
    assert_eq!((sum("jobs", "count"), sum("orders", "placed"), sum("orders", "value")), (60, 40, 20 * 1950));
    let times = &history["runs"][0];
    assert!((25.0..=50.0).contains(&times["p50_ms"].as_f64().unwrap()), "{times}");
}

#[tokio::test]
async fn old_steps_are_added_up_and_the_sums_stay() {
    let app = TestApp::new().await;
    sql(
        &app,
        "insert into job_history (step, at, queue, kind, outcome, count, ran, waited)
         select 10, date_bin('10 s', now() - n * interval '10 s', 'epoch'), 'high', 'noop', 'done', 1, '{1}', '{0,1}'
           from generate_series(0, 1080) n;
         insert into shop_history (step, at, currency, placed, value)
         select 10, date_bin('10 s', now() - n * interval '10 s', 'epoch'), 'USD', 2, 300 from generate_series(0, 1080) n;
         insert into queue_history (step, at, queue, ready, scheduled, running, dead, oldest_seconds, paused)
         select 10, date_bin('10 s', now() - n * interval '10 s', 'epoch'), 'high', n, 0, 0, 0, 0, false
           from generate_series(0, 1080) n",
    )
    .await;
    let staff = app.staff().await;
    let path = "/v1/ops/history?step=1h&from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z";
    assert_eq!(staff.get(path).await.done(200).body["jobs"], json!([]));
    let range: String = sqlx::query_scalar(
        "select to_char(now() at time zone 'utc' - interval '6 hours', '\"from=\"YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
             || to_char(now() at time zone 'utc' + interval '1 hour', '\"&to=\"YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    )
    .fetch_one(&app.db)
    .await
    .unwrap();
    // The requests of this test are counted while it runs.
    let without_requests = |mut history: Value| {
        history["requests"].take();
        history
    };
    let before = without_requests(staff.get(&format!("/v1/ops/history?step=1h&{range}")).await.done(200).body);
    for _ in 0..2 {
        retention::run(&app.db).await.unwrap();
        // Another process: the first one may remember its answer for a second.
        let other = TestApp::on(&app.database_url, &[]).await;
        let after = other.staff().await.get(&format!("/v1/ops/history?step=1h&{range}")).await.done(200).body;
        assert_eq!(without_requests(after), before);
    }
    let total: i64 = before["jobs"].as_array().unwrap().iter().map(|row| row["count"].as_i64().unwrap()).sum();
    assert_eq!(total, 1081);
    assert_eq!(
        app.count("select count(*) from job_history where step = 10 and at < now() - interval '121 min'").await,
        0
    );
    assert!(app.count("select count(*) from job_history where step = 60").await >= 180);
}

#[tokio::test]
async fn requests_are_counted_by_what_they_are_and_whether_we_failed() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let counters = Counters::default();
    // Classes of this test: the app counts its own requests too.
    for (class, failed, ms) in [("a", false, 2), ("a", true, 40), ("b", false, 4)] {
        counters.request(class, failed, Duration::from_millis(ms));
    }
    counters.write(&app.db).await.unwrap();
    counters.write(&app.db).await.unwrap();
    for _ in 0..2 {
        // Folding again does not count again.
        fold::fold(&mut app.db.acquire().await.unwrap()).await.unwrap();
        let history = staff.get("/v1/ops/history?step=1d").await.done(200).body;
        let rows = history["requests"].as_array().unwrap();
        let rows: Vec<_> = rows.iter().filter(|it| it["class"] == "a" || it["class"] == "b").collect();
        let counted: Vec<_> = rows.iter().map(|it| (&it["class"], &it["requests"], &it["failed"])).collect();
        assert_eq!(json!(counted), json!([["a", 2, 1], ["b", 1, 0]]));
        assert!(rows[0]["p99_ms"].as_f64().unwrap() > rows[1]["p99_ms"].as_f64().unwrap());
    }
}

#[tokio::test]
async fn a_range_that_makes_no_sense_is_refused() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    for (query, code) in [
        ("step=10s&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", "range_too_long"),
        ("from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "invalid_range"),
        ("step=7s", "invalid_value"),
        ("colour=red", "unknown_field"),
    ] {
        staff.get(&format!("/v1/ops/history?{query}")).await.refused(422, code);
    }
}

#[tokio::test]
async fn the_summary_says_who_waits_and_what_was_ordered() {
    let app = TestApp::new().await.without_audit("the job of an order is made dead by hand");
    app.product("mug", 1250, 50).await;
    let alice = app.customer().await;
    for _ in 0..3 {
        alice.place(json!([{ "sku": "mug", "quantity": 2 }])).await.done(201);
    }
    // Two orders wait for staff. A dead job without an order does not count.
    sql(
        &app,
        "update jobs set state = 'dead', attempt = 8, error = 'no answer', error_fingerprint = 'aa', finished_at = now()
          where id in (select id from jobs where kind = 'process_payment' order by id limit 2);
         update queues set paused = true where name = 'low'",
    )
    .await;
    dead_job(&app, "noop", "default", "boom").await;
    shared::audit::run(&mut app.db.acquire().await.unwrap()).await.unwrap();
    app.state.metrics.shared.counted.write(&app.state.db).await.unwrap();

    let summary = app.staff().await.get("/v1/ops/summary").await.done(200).body;
    let people = &summary["people"];
    assert_eq!((&people["orders"], &people["at_least"]), (&json!(2), &json!(false)), "{people}");
    assert_eq!(people["totals"], json!([{ "currency": "USD", "orders": 2, "value": 5000 }]));
    assert!(people["since"].is_string());
    let ordered = json!([{ "currency": "USD", "orders": 3, "value": 7500 }]);
    assert_eq!((&summary["orders"]["today"], &summary["orders"]["last_hour"]), (&ordered, &ordered));
    let flow: Vec<&Value> = summary["flow"].as_array().unwrap().iter().collect();
    assert_eq!(flow.iter().map(|it| &it["queue"]).collect::<Vec<_>>(), ["high", "default", "low"]);
    assert_eq!((&flow[2]["paused"], &flow[2]["p95_wait_ms"]), (&json!(true), &Value::Null));
    assert!(summary["promises"]["invariants"].as_i64().unwrap() > 5 && summary["promises"]["ran_at"].is_string());
    assert_eq!(summary["fleet"], json!({ "workers": 0, "places_used": 0, "places": 0 }));
}

#[tokio::test]
async fn a_hundred_viewers_cost_what_one_does() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let summaries = join_all((0..100).map(|_| staff.get("/v1/ops/summary"))).await;
    let mut seen: Vec<String> =
        summaries.into_iter().map(|reply| reply.done(200).body["at"].as_str().unwrap().to_owned()).collect();
    seen.sort();
    seen.dedup();
    assert!(seen.len() <= 10, "{} reads for 100 viewers", seen.len());
}
