//! Whole lives of orders, run by real workers.

use serde_json::json;

use testkit::until::until;
use testkit::workers::{TestSystem, WorkerProcess};

#[tokio::test]
async fn an_order_is_paid_shipped_and_delivered() {
    let system = TestSystem::start().await;
    let _worker = WorkerProcess::start(&system, &[]);
    let alice = system.app.customer().await;
    let order = system.order(&alice, "tok_ok").await;
    let delivered = system.reaches(&alice, &order, "delivered").await;
    assert_eq!(delivered["payment"]["status"], "charged");
    assert!(delivered["shipments"][0]["tracking_number"].is_string());
    assert!(delivered["next_action"].is_null());
    assert_eq!(system.stock().await, (999, 0));
    assert_eq!(system.charges().await, (1, 0));
    let events = alice.get(&format!("{order}/events")).await.done(200);
    let types: Vec<&str> =
        events.body["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["placed", "processing", "paid", "shipped", "delivered"]);
}

#[tokio::test]
async fn slow_payments_of_one_customer_do_not_delay_another_s() {
    let shop = TestSystem::start().await;
    let _worker = WorkerProcess::start(&shop, &[("WORKER_CONCURRENCY", "8")]);
    let (eve, alice) = (shop.app.customer().await, shop.app.customer().await);
    for _ in 0..16 {
        shop.order(&eve, "tok_slow_30000").await;
    }
    // Eve's payments have taken all places that one customer may have; the others were put off.
    let put_off = "select count(*) from jobs where kind = 'process_payment' and state = 'ready' and attempt > 0";
    until("payments are put off", async || shop.count(put_off).await > 0).await;
    let started = std::time::Instant::now();
    let order = shop.order(&alice, "tok_ok").await;
    shop.reaches(&alice, &order, "delivered").await;
    assert!(started.elapsed() < std::time::Duration::from_secs(25), "{:?}", started.elapsed());
    assert_eq!(shop.count("select count(*) from jobs where state = 'dead'").await, 0);
    let unused =
        "select count(*) from jobs where kind = 'process_payment' and state = 'ready' and max_attempt - attempt < 4";
    assert_eq!(shop.count(unused).await, 0, "being put off costs no attempts");
}

#[tokio::test]
async fn scripts_are_off_by_default() {
    let shop = TestSystem::start().await;
    let _worker = WorkerProcess::start(&shop, &[("SIMULATED_SCRIPTS", "off")]);
    let alice = shop.app.customer().await;
    let order = shop.order(&alice, "tok_slow_30000").await;
    shop.reaches(&alice, &order, "cancelled").await;
    let events = alice.get(&format!("{order}/events")).await.done(200).body.to_string();
    assert!(events.contains("scripts_are_off"), "{events}");
    let order = shop.order(&alice, "tok_ok").await;
    shop.reaches(&alice, &order, "delivered").await;
}

#[tokio::test]
async fn a_declined_payment_gives_the_stock_back() {
    let system = TestSystem::start().await;
    let _worker = WorkerProcess::start(&system, &[]);
    let alice = system.app.customer().await;
    let order = system.order(&alice, "tok_declined").await;
    let cancelled = system.reaches(&alice, &order, "cancelled").await;
    assert_eq!(cancelled["cancel_reason"], "payment_declined");
    assert_eq!(system.stock().await, (1000, 0));
    assert_eq!(system.charges().await, (0, 0));
}

#[tokio::test]
async fn a_flaky_payment_is_tried_again_later_each_time_and_charged_once() {
    let system = TestSystem::start().await;
    let _worker = WorkerProcess::start(&system, &[]);
    let alice = system.app.customer().await;
    let order = system.order(&alice, "tok_flaky_3").await;
    system.reaches(&alice, &order, "delivered").await;
    assert_eq!(system.charges().await, (1, 0));
    let failed = system.count("select count(*) from job_attempts where outcome = 'transient'").await;
    assert_eq!(failed, 3);
}

#[tokio::test]
async fn after_a_timeout_the_provider_is_asked_before_it_is_charged_again() {
    let system = TestSystem::start().await;
    let _worker = WorkerProcess::start(&system, &[]);
    let alice = system.app.customer().await;
    for token in ["tok_timeout_charged", "tok_timeout_lost"] {
        let order = system.order(&alice, token).await;
        system.reaches(&alice, &order, "delivered").await;
    }
    assert_eq!(system.charges().await, (2, 0));
}

#[tokio::test]
async fn a_payment_that_always_fails_is_dead_and_runs_again_when_staff_retry_it() {
    let system = TestSystem::start().await;
    let _worker = WorkerProcess::start(&system, &[]);
    let (alice, staff) = (system.app.customer().await, system.app.staff().await);
    let order = system.order(&alice, "tok_flaky_5").await;
    until("the job is dead", async || system.count("select count(*) from jobs where state = 'dead'").await == 1).await;

    let stuck = alice.get(&order).await.done(200);
    assert_eq!(
        (&stuck.body["next_action"]["what"], &stuck.body["next_action"]["by"]),
        (&json!("payment"), &json!("staff"))
    );
    let dead = staff.get("/v1/ops/jobs?state=dead").await.done(200);
    let id = dead.body["data"][0]["id"].as_str().unwrap().to_owned();
    let job = staff.get(&format!("/v1/ops/jobs/{id}")).await.done(200);
    assert_eq!(job.body["attempts"].as_array().unwrap().len(), 4, "{job:#?}");
    staff.post(&format!("/v1/ops/jobs/{id}/retry"), json!({})).await.done(200);
    system.reaches(&alice, &order, "delivered").await;
    staff.post(&format!("/v1/ops/jobs/{id}/retry"), json!({})).await.refused(409, "job_not_dead");
    assert_eq!(system.charges().await, (1, 0));
}

#[tokio::test]
async fn a_discarded_job_is_kept_for_as_long_as_its_order_waits_for_staff() {
    let system = TestSystem::start().await;
    let _worker = WorkerProcess::start(&system, &[]);
    let (alice, staff) = (system.app.customer().await, system.app.staff().await);
    let order = system.order(&alice, "tok_unavailable").await;
    system.until_count("the job is dead", "select count(*) from jobs where state = 'dead'", 1).await;
    let dead = staff.get("/v1/ops/jobs?state=dead").await.done(200);
    let id = dead.body["data"][0]["id"].as_str().unwrap().to_owned();
    staff.post(&format!("/v1/ops/jobs/{id}/discard"), json!({})).await.done(200);
    sqlx::query("update jobs set finished_at = finished_at - interval '1 year' where state = 'discarded'")
        .execute(&system.app.db)
        .await
        .unwrap();

    let discarded = "select count(*) from jobs where state = 'discarded'";
    shared::retention::run(&system.app.db).await.unwrap();
    assert_eq!(system.count(discarded).await, 1);
    assert_eq!(alice.get(&order).await.done(200).body["next_action"]["by"], "staff");
    system.app.assert_clean().await;

    staff.post(&format!("{order}/cancel"), json!({})).await.done(202);
    system.reaches(&alice, &order, "cancelled").await;
    shared::retention::run(&system.app.db).await.unwrap();
    assert_eq!(system.count(discarded).await, 0);
}

#[tokio::test]
async fn every_job_is_counted_once_by_the_process_that_wrote_it() {
    let system = TestSystem::start().await;
    let free = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap().to_string();
    let _worker = WorkerProcess::start(&system, &[("WORKER_ADDR", &free), ("REAPER_SCHEDULE", "* * * * * *")]);
    let alice = system.app.customer().await;
    let order = system.order(&alice, "tok_flaky_1").await;
    system.reaches(&alice, &order, "delivered").await;
    let other = system.order(&alice, "tok_slow_1000").await;
    alice.post(&format!("{other}/cancel"), json!({})).await.done(202);
    system.reaches(&alice, &other, "cancelled").await;
    system
        .until_count("a tick is done", "select least(count(*), 1) from jobs where kind = 'reap' and state = 'done'", 1)
        .await;

    let written = async |addr: &str| -> Vec<String> {
        let page = reqwest::get(format!("{addr}/metrics")).await.unwrap().text().await.unwrap();
        let lines = page.lines().filter_map(|line| line.strip_prefix("millrace_jobs_enqueued_total"));
        lines.filter(|line| line.contains("_order\"") || line.contains("_payment\"")).map(ToOwned::to_owned).collect()
    };
    let by_api = [r#"{kind="cancel_order",queue="high"} 1"#, r#"{kind="process_payment",queue="high"} 2"#]
        .map(ToOwned::to_owned);
    let by_worker =
        [r#"{kind="deliver_order",queue="low"} 1"#, r#"{kind="ship_order",queue="default"} 1"#].map(ToOwned::to_owned);
    assert_eq!(written(&system.app.metrics_url).await, by_api);
    assert_eq!(written(&format!("http://{free}")).await, by_worker);
    let page = reqwest::get(format!("http://{free}/metrics")).await.unwrap().text().await.unwrap();
    assert!(page.contains(r#"millrace_jobs_enqueued_total{kind="reap",queue="low"}"#), "{page}");
}

#[tokio::test]
async fn a_paid_order_that_is_cancelled_is_refunded() {
    let system = TestSystem::start().await;
    // The worker does not take the default queue, so the order is paid and waits to be shipped.
    let _worker = WorkerProcess::start(&system, &[("WORKER_QUEUES", "high")]);
    let alice = system.app.customer().await;
    let order = system.order(&alice, "tok_ok").await;
    system.reaches(&alice, &order, "paid").await;
    let asked = alice.post(&format!("{order}/cancel"), json!({ "reason": "changed my mind" })).await.done(202);
    assert_eq!(asked.body["status"], "cancelling");
    let cancelled = system.reaches(&alice, &order, "cancelled").await;
    assert_eq!(cancelled["payment"]["status"], "refunded");
    assert_eq!(system.stock().await, (1000, 0));
    assert_eq!(system.charges().await, (1, 1));
    alice.post(&format!("{order}/cancel"), json!({})).await.done(202);
}

#[tokio::test]
async fn an_order_that_is_cancelled_while_the_charge_is_out_is_refunded() {
    let system = TestSystem::start().await;
    let _worker = WorkerProcess::start(&system, &[]);
    let alice = system.app.customer().await;
    let order = system.order(&alice, "tok_slow_1500").await;
    system.reaches(&alice, &order, "processing").await;
    alice.post(&format!("{order}/cancel"), json!({})).await.done(202);
    system.reaches(&alice, &order, "cancelled").await;
    system
        .until_count("the late charge is settled", "select count(*) from jobs where state in ('ready', 'running')", 0)
        .await;
    let (charged, refunded) = system.charges().await;
    assert_eq!(charged, refunded, "every charge was refunded");
    assert_eq!(system.stock().await, (1000, 0));
}
