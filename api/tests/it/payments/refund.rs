//! Refunds of cancelled orders.

use std::sync::atomic::Ordering;

use futures::future::join;
use serde_json::json;
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use testkit::providers::{Gated, Stops};
use worker::error::{Done, JobError};

#[tokio::test]
async fn a_paid_order_is_cancelled_and_refunded() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let hands = ManualWorker::of(&app);
    let order = alice.order("mug", "tok_ok").await;
    hands.run_one("process_payment").await.unwrap();

    alice.cancel(&order).await.done(202);
    hands.run().await;

    let cancelled = alice.see(&order).await;
    assert_eq!((&cancelled["status"], &cancelled["payment"]["status"]), (&json!("cancelled"), &json!("refunded")));
    assert_eq!((app.books().await, app.shelves().await), (vec!["refunded".to_owned()], (5, 0)));
    assert_eq!(alice.story(&order).await, ["placed", "processing", "paid", "cancelling", "cancelled"]);
}

#[tokio::test]
async fn an_order_cancelled_while_its_charge_is_out_has_the_charge_recorded_and_refunded() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let provider = Gated::new(&app, Stops::BeforeAnswering);
    let hands = ManualWorker::with_provider(&app, provider.clone());
    let order = alice.order("mug", "tok_ok").await;

    let cancelling = async {
        provider.until_asked().await;
        alice.cancel(&order).await.done(202);
        provider.let_go();
    };
    let (charged, ()) = join(hands.run_one("process_payment"), cancelling).await;
    charged.unwrap();
    let between = alice.see(&order).await;
    assert_eq!((&between["status"], &between["payment"]["status"]), (&json!("cancelling"), &json!("charged")));
    assert_eq!((app.books().await, app.jobs("ship_order").await), (vec!["charged".to_owned()], 0));

    hands.run().await;
    let cancelled = alice.see(&order).await;
    assert_eq!((&cancelled["status"], &cancelled["payment"]["status"]), (&json!("cancelled"), &json!("refunded")));
    assert_eq!((app.books().await, app.shelves().await), (vec!["refunded".to_owned()], (5, 0)));
    assert_eq!(alice.story(&order).await, ["placed", "processing", "cancelling", "cancelled"]);
}

#[tokio::test]
async fn a_charge_whose_answer_comes_after_the_refund_stays_refunded() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let provider = Gated::new(&app, Stops::BeforeAnswering);
    let hands = ManualWorker::with_provider(&app, provider.clone());
    let order = alice.order("mug", "tok_ok").await;

    let cancelling = async {
        provider.until_asked().await;
        alice.cancel(&order).await.done(202);
        hands.run_one("cancel_order").await.unwrap();
        provider.let_go();
    };
    let (charged, ()) = join(hands.run_one("process_payment"), cancelling).await;

    assert_eq!(charged.unwrap(), Done::Recorded);
    let cancelled = alice.see(&order).await;
    assert_eq!((&cancelled["status"], &cancelled["payment"]["status"]), (&json!("cancelled"), &json!("refunded")));
    assert_eq!((app.books().await, app.shelves().await), (vec!["refunded".to_owned()], (5, 0)));
}

#[tokio::test]
async fn a_worker_frozen_before_its_charge_finds_it_refused_after_the_order_was_cancelled() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let provider = Gated::new(&app, Stops::BeforeCharging);
    let (frozen, other) = (ManualWorker::with_provider(&app, provider.clone()), ManualWorker::of(&app));
    let order = alice.order("mug", "tok_ok").await;
    let first = frozen.take("process_payment").await;

    let meanwhile = async {
        provider.until_asked().await;
        alice.cancel(&order).await.done(202);
        other.lose(&first).await;
        other.run().await;
        assert_eq!(alice.see(&order).await["status"], "cancelled");
        provider.let_go();
    };
    let (late, ()) = join(frozen.carry_out(&first), meanwhile).await;

    assert!(matches!(late, Err(JobError::LeaseLost)), "{late:?}");
    assert_eq!(provider.charges.load(Ordering::SeqCst), 1, "it did ask for the money");
    let cancelled = alice.see(&order).await;
    assert_eq!((&cancelled["status"], &cancelled["payment"]["status"]), (&json!("cancelled"), &json!("voided")));
    assert_eq!((app.books().await, app.shelves().await), (vec!["closed".to_owned()], (5, 0)));
}
