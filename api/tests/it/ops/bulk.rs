//! Errors in groups, and actions on many: preview, canary, steps, stopping.

use serde_json::{Value, json};
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use testkit::person::Person;

use super::{dead_job, shop_with_a_past};

/// So many orders whose payment is dead.
async fn dead_payments(app: &TestApp, token: &str, count: usize) -> Vec<String> {
    app.product("mug", 1250, 1000).await;
    let mut orders = Vec::new();
    for _ in 0..count {
        let alice = app.customer().await;
        orders.push(alice.order("mug", token).await);
    }
    ManualWorker::of(app).run().await;
    orders
}

async fn start(staff: &Person<'_>, key: &str, body: Value) -> String {
    let started = staff.post_with_key("/v1/ops/bulk", key, body).await.done(202);
    assert_eq!(started.header("location"), format!("/v1/ops/bulk/{}", started.id()));
    started.id().to_owned()
}

async fn progress(staff: &Person<'_>, id: &str) -> Value {
    staff.get(&format!("/v1/ops/bulk/{id}")).await.done(200).body
}

#[tokio::test]
async fn errors_are_grouped_with_the_money_at_risk() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    dead_payments(&app, "tok_unavailable", 3).await;
    dead_job(&app, "noop", "low", "another").await;
    let groups = staff.get("/v1/ops/errors").await.done(200).body["data"].clone();
    assert_eq!(groups.as_array().unwrap().len(), 2, "{groups}");
    let worst = &groups[0];
    assert_eq!((&worst["dead"], &worst["orders"], &worst["kind"]), (&json!(3), &json!(3), &json!("process_payment")));
    assert_eq!(worst["at_risk"], json!([{ "amount": 7500, "currency": "USD" }]));
    let mark = worst["fingerprint"].as_str().unwrap();
    let one = staff.get(&format!("/v1/ops/errors/{mark}")).await.done(200).body["data"].clone();
    assert_eq!(one, json!([worst]));
    staff.get("/v1/ops/errors/nothing").await.refused(404, "job_not_found");
    app.customer().await.get("/v1/ops/errors").await.refused(403, "forbidden");
}

#[tokio::test]
async fn a_canary_that_fails_leaves_the_others_untouched_and_a_person_may_go_on() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let orders = dead_payments(&app, "tok_unavailable", 3).await;
    let filter = json!({ "kind": "process_payment" });
    let id = start(&staff, "k", json!({ "action": "retry", "filter": filter, "canary": true })).await;
    ManualWorker::of(&app).run().await;
    let halted = progress(&staff, &id).await;
    assert_eq!(
        (&halted["state"], &halted["done"], &halted["failed"]),
        (&json!("halted"), &json!(1), &json!(1)),
        "{halted}"
    );
    assert!(halted["error"].as_str().unwrap().contains("not available"), "{halted}");
    let retried = "select count(*) from order_events where type = 'job_retried'";
    assert_eq!(app.count(retried).await, 1, "the others were not touched");
    staff.post(&format!("/v1/ops/bulk/{id}/continue"), json!({})).await.done(200);
    ManualWorker::of(&app).run().await;
    let done = progress(&staff, &id).await;
    assert_eq!((&done["state"], &done["done"], &done["failed"]), (&json!("done"), &json!(3), &json!(3)), "{done}");
    for order in orders {
        let story = staff.story(&order).await;
        assert_eq!(
            story.iter().filter(|event| *event == "job_retried").count(),
            1,
            "nothing is taken twice: {story:?}"
        );
    }
}

#[tokio::test]
async fn a_canary_that_passes_is_followed_by_all_and_each_order_is_charged_once() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let orders = dead_payments(&app, "tok_flaky_8", 12).await;
    let asked = json!({ "action": "retry", "filter": { "kind": "process_payment" }, "dry_run": true });
    let preview = staff.post("/v1/ops/bulk", asked).await.done(200).body;
    assert_eq!(
        (&preview["count"], &preview["orders"], &preview["over"]),
        (&json!(12), &json!(12), &json!(0)),
        "{preview}"
    );
    assert_eq!(preview["money"], json!([{ "amount": 30_000, "currency": "USD" }]));
    let mut body = json!({
        "action": "retry", "filter": { "kind": "process_payment" }, "canary": true,
        "upto": preview["upto"], "expected": preview["count"],
    });
    staff.post("/v1/ops/bulk", body.clone()).await.refused(422, "missing_field");
    body["reason"] = json!("the bank is back");
    let id = start(&staff, "k", body.clone()).await;
    assert_eq!(start(&staff, "k", body).await, id, "one key, one action");
    assert_eq!(app.count("select count(*) from bulk_actions").await, 1);
    ManualWorker::of(&app).run().await;
    let done = progress(&staff, &id).await;
    assert_eq!((&done["state"], &done["done"], &done["failed"]), (&json!("done"), &json!(12), &json!(0)), "{done}");
    for order in &orders {
        assert_eq!(staff.see(order).await["status"], "delivered");
        let events = staff.get(&format!("{order}/events")).await.done(200).body;
        let retried = events["data"].as_array().unwrap().iter().find(|event| event["type"] == "job_retried").unwrap();
        assert_eq!(retried["data"]["by"]["id"], json!(staff.id), "a person did it, not the system");
    }
    assert_eq!(app.books().await, vec!["charged"; 12]);
    let actions = staff.get("/v1/ops/actions?action=bulk.started").await.done(200).body;
    assert_eq!(actions["data"].as_array().unwrap().len(), 1);
    assert_eq!(actions["data"][0]["reason"], "the bank is back");
}

#[tokio::test]
async fn what_died_after_the_preview_is_not_taken_and_a_changed_selection_is_said() {
    let app = TestApp::new().await.without_audit("the dead jobs have no orders");
    let staff = app.staff().await;
    for _ in 0..3 {
        dead_job(&app, "noop", "low", "aa").await;
    }
    let filter = json!({ "error": "aa" });
    let asked = json!({ "action": "discard", "filter": filter, "dry_run": true });
    let preview = staff.post("/v1/ops/bulk", asked).await.done(200).body;
    let newer = dead_job(&app, "noop", "low", "aa").await;
    let mut body = json!({ "action": "discard", "filter": filter, "expected": preview["count"] });
    let stale = staff.post("/v1/ops/bulk", body.clone()).await;
    stale.refused(409, "preview_stale");
    assert_eq!(stale.body["errors"][0]["preview"]["count"], 4);
    body["upto"] = preview["upto"].clone();
    let id = start(&staff, "k", body).await;
    ManualWorker::of(&app).run().await;
    assert_eq!(progress(&staff, &id).await["done"], 3);
    assert_eq!(staff.get(&format!("/v1/ops/jobs/{newer}")).await.done(200).body["state"], "dead");
}

#[tokio::test]
async fn a_stopped_action_takes_nothing_more_until_somebody_goes_on() {
    let app = TestApp::new().await.without_audit("the dead jobs have no orders");
    let staff = app.staff().await;
    for _ in 0..3 {
        dead_job(&app, "noop", "low", "aa").await;
    }
    let id = start(&staff, "k", json!({ "action": "retry", "filter": { "error": "aa" } })).await;
    for _ in 0..2 {
        let stopped = staff.post(&format!("/v1/ops/bulk/{id}/stop"), json!({})).await.done(200);
        assert_eq!(stopped.body["state"], "stopped");
    }
    let worker = ManualWorker::of(&app);
    worker.run().await;
    assert_eq!(progress(&staff, &id).await["done"], 0);
    staff.post(&format!("/v1/ops/bulk/{id}/continue"), json!({})).await.done(200);
    worker.run().await;
    let done = progress(&staff, &id).await;
    assert_eq!((&done["state"], &done["done"]), (&json!("done"), &json!(3)), "{done}");
    let list = staff.get("/v1/ops/bulk").await.done(200).body;
    assert_eq!(list["data"][0]["id"], json!(id));
    staff.get(&format!("/v1/ops/bulk/{}", uuid::Uuid::now_v7())).await.refused(404, "bulk_not_found");
}

#[tokio::test]
async fn an_action_that_is_stopped_during_its_canary_goes_on_with_the_canary() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    dead_payments(&app, "tok_unavailable", 3).await;
    let body = json!({ "action": "retry", "filter": { "kind": "process_payment" }, "canary": true });
    let id = start(&staff, "k", body).await;
    staff.post(&format!("/v1/ops/bulk/{id}/stop"), json!({})).await.done(200);
    let goes_on = staff.post(&format!("/v1/ops/bulk/{id}/continue"), json!({})).await.done(200).body;
    assert_eq!(goes_on["state"], "canary");
    ManualWorker::of(&app).run().await;
    let halted = progress(&staff, &id).await;
    assert_eq!((&halted["state"], &halted["done"]), (&json!("halted"), &json!(1)), "{halted}");
    let goes_on = staff.post(&format!("/v1/ops/bulk/{id}/continue"), json!({})).await.done(200).body;
    assert_eq!(goes_on["state"], "running", "who goes on after a failed canary means it");
}

#[tokio::test]
async fn a_preview_counts_the_money_of_an_order_once() {
    let app = TestApp::new().await.without_audit("a second dead job is put beside the order's own");
    let staff = app.staff().await;
    let orders = dead_payments(&app, "tok_unavailable", 1).await;
    let copied = "insert into jobs (kind, queue, state, args, order_id, attempt, max_attempt, error, error_fingerprint, finished_at)
                  select kind, queue, state, args, order_id, attempt, max_attempt, error, error_fingerprint, finished_at from jobs
                   where state = 'dead'";
    sqlx::query(copied).execute(&app.db).await.unwrap();
    let asked = json!({ "action": "retry", "filter": { "kind": "process_payment" }, "dry_run": true });
    let preview = staff.post("/v1/ops/bulk", asked).await.done(200).body;
    assert_eq!((&preview["count"], &preview["orders"]), (&json!(2), &json!(1)), "{preview}");
    assert_eq!(preview["money"], json!([staff.see(&orders[0]).await["total"]]), "{preview}");
}

#[tokio::test]
async fn orders_of_a_filter_are_cancelled_and_those_that_cannot_be_are_left() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    app.product("mug", 1250, 100).await;
    let alice = app.customer().await;
    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.push(alice.order("mug", "tok_ok").await);
    }
    let customer = staff.see(&orders[0]).await["customer_id"].clone();
    let body = json!({ "action": "cancel_orders", "filter": { "customer_id": customer }, "reason": "a fraud" });
    let id = start(&staff, "k", body).await;
    let worker = ManualWorker::of(&app);
    worker.run_one("bulk_step").await.unwrap();
    worker.run().await;
    let done = progress(&staff, &id).await;
    assert_eq!((&done["state"], &done["done"]), (&json!("done"), &json!(3)), "{done}");
    for order in &orders {
        let seen = staff.see(order).await;
        assert_eq!((&seen["status"], &seen["cancel_reason"]), (&json!("cancelled"), &json!("a fraud")));
    }
    for wrong in [json!({}), json!({ "kind": "noop" })] {
        let body = json!({ "action": "cancel_orders", "filter": wrong, "dry_run": true });
        staff.post("/v1/ops/bulk", body).await.refused(422, "invalid_filter");
    }
    let nothing = json!({ "action": "retry", "filter": { "error": "nothing" } });
    staff.post("/v1/ops/bulk", nothing).await.refused(422, "nothing_selected");
}

#[tokio::test]
async fn one_search_finds_orders_people_products_and_jobs() {
    let app = TestApp::new().await.without_audit("its rows are written by hand");
    shop_with_a_past(&app).await;
    let staff = app.staff().await;
    let order = staff.get("/v1/orders?status=delivered").await.done(200).body["data"][0].clone();
    let job = dead_job(&app, "noop", "low", "aa").await;
    let number = order["number"].as_str().unwrap();
    let tracking = order["shipments"][0]["tracking_number"].as_str().unwrap().to_owned();
    let email = order["customer"]["email"].as_str().unwrap();
    for (q, kind, id) in [
        (number.to_lowercase(), "order", order["id"].clone()),
        (number.replace("M-", ""), "order", order["id"].clone()),
        (order["id"].as_str().unwrap().to_owned(), "order", order["id"].clone()),
        (email[..20].to_uppercase(), "customer", order["customer"]["id"].clone()),
        ("mug".to_owned(), "product", order["items"][0]["product_id"].clone()),
        (job.clone(), "job", json!(job)),
        (tracking, "order", order["id"].clone()),
    ] {
        let found = staff.get(&format!("/v1/search?q={q}")).await.done(200).body["data"].clone();
        let hit = found.as_array().unwrap().iter().any(|it| it["type"] == kind && it["id"] == id);
        assert!(hit, "{q}: {found}");
    }
    for q in ["m", "%25%25", "nothing-like-this", "''--"] {
        let found = staff.get(&format!("/v1/search?q={q}")).await.done(200).body["data"].clone();
        assert_eq!(found, json!([]), "{q}");
    }
    let some = staff.get("/v1/search?q=some%20one").await.done(200).body["data"].clone();
    assert!(some.as_array().unwrap().iter().any(|it| it["type"] == "customer"), "by a part of the name: {some}");
    app.customer().await.get("/v1/search?q=mug").await.refused(403, "forbidden");
    staff.get(&format!("/v1/search?q={}", "x".repeat(101))).await.refused(422, "invalid_search");
}
