//! Orders whose reservation expires before they are paid.

use futures::future::join;
use serde_json::json;
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use testkit::providers::{Gated, Stops};
use worker::error::Done;

#[tokio::test]
async fn an_order_that_is_being_charged_is_not_expired_under_the_charge() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let provider = Gated::new(&app, Stops::BeforeAnswering);
    let hands = ManualWorker::with_provider(&app, provider.clone());
    let order = alice.order("mug", "tok_ok").await;

    let reaping = async {
        provider.until_asked().await;
        overdue(&app).await;
        let reaped = staff.post("/v1/inventory/reaper", json!({})).await.done(200);
        assert_eq!(reaped.body["released_reservations"], 0);
        assert_eq!(app.jobs("cancel_order").await, 0);
        provider.let_go();
    };
    let (charged, ()) = join(hands.run_one("process_payment"), reaping).await;
    charged.unwrap();

    assert_eq!(alice.see(&order).await["status"], "paid");
    assert_eq!(app.shelves().await, (5, 2));
}

#[tokio::test]
async fn an_overdue_order_whose_payment_is_dead_is_given_up_and_refunded() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let hands = ManualWorker::of(&app);
    let order = alice.order("mug", "tok_timeout_charged").await;
    sqlx::query("update jobs set max_attempt = 1").execute(&app.db).await.unwrap();
    hands.run_one("process_payment").await.unwrap_err();
    staff.post("/v1/inventory/reaper", json!({})).await.done(200);
    assert_eq!(app.jobs("cancel_order").await, 0, "it is not overdue");
    overdue(&app).await;

    for _ in 0..2 {
        staff.post("/v1/inventory/reaper", json!({})).await.done(200);
        assert_eq!(app.jobs("cancel_order").await, 1, "only once");
        assert_eq!(alice.see(&order).await["next_action"]["what"], "cancellation");
    }
    hands.run().await;

    let cancelled = alice.see(&order).await;
    assert_eq!((&cancelled["status"], &cancelled["cancel_reason"]), (&json!("cancelled"), &json!("payment_failed")));
    assert_eq!(cancelled["payment"]["status"], "refunded");
    assert_eq!((app.books().await, app.shelves().await), (vec!["refunded".to_owned()], (5, 0)));
}

#[tokio::test]
async fn an_overdue_order_whose_payment_was_discarded_stays_with_staff() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let order = alice.order("mug", "tok_unavailable").await;
    ManualWorker::of(&app).run().await;
    let dead = staff.get("/v1/ops/jobs?state=dead").await.done(200);
    let job = dead.body["data"][0]["id"].as_str().unwrap();
    staff.post(&format!("/v1/ops/jobs/{job}/discard"), json!({})).await.done(200);
    overdue(&app).await;

    staff.post("/v1/inventory/reaper", json!({})).await.done(200);

    let left = alice.see(&order).await;
    assert_eq!((&left["status"], &left["next_action"]["by"]), (&json!("processing"), &json!("staff")));
    assert_eq!(app.jobs("cancel_order").await, 0);
    staff.move_to(&order, "paid").await.done(200);
    ManualWorker::of(&app).run().await;
    assert_eq!(alice.see(&order).await["status"], "delivered");
    assert_eq!(app.books().await, ["closed"], "a late charge would be refused");
}

#[tokio::test]
async fn an_order_that_expired_before_its_payment_is_not_charged() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let order = alice.order("mug", "tok_ok").await;
    overdue(&app).await;
    staff.post("/v1/inventory/reaper", json!({})).await.done(200);

    assert_eq!(ManualWorker::of(&app).run_one("process_payment").await.unwrap(), Done::NothingToDo);

    assert_eq!(alice.see(&order).await["cancel_reason"], "reservation_expired");
    assert_eq!(app.books().await, [""; 0]);
}

/// Makes all reservations overdue.
async fn overdue(app: &TestApp) {
    sqlx::query("update reservations set expires_at = now() - interval '1 minute'").execute(&app.db).await.unwrap();
}
