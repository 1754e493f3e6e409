//! `POST /v1/orders/{id}/cancel`.

use futures::future::join;
use serde_json::json;
use shared::orders::ship;
use shared::values::OrderId;
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;

use super::as_it_is;

#[tokio::test]
async fn a_pending_order_is_cancelled_and_its_stock_is_back() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let order = alice.order("mug", "tok_ok").await;

    let asked = alice.post(&format!("{order}/cancel"), json!({ "reason": "ordered twice" })).await.done(202);

    assert_eq!(asked.body["status"], "cancelling");
    assert_eq!(asked.body["cancel_reason"], "ordered twice");
    assert_eq!(asked.body["next_action"]["what"], "cancellation");
    assert_eq!(asked.body["next_action"]["by"], "worker");
    assert_eq!(app.available(mug).await, 3, "a worker gives it back");
    let (request_id, max_attempt): (String, i32) =
        sqlx::query_as("select request_id, max_attempt from jobs where kind = 'cancel_order'")
            .fetch_one(&app.db)
            .await
            .unwrap();
    assert_eq!((request_id.as_str(), max_attempt), (asked.header("x-request-id"), 8));

    ManualWorker::of(&app).run().await;

    let cancelled = alice.see(&order).await;
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["cancel_reason"], "ordered twice");
    assert_eq!(cancelled["payment"], json!(null), "nobody was asked for money");
    assert_eq!(cancelled["next_action"], json!(null));
    assert_eq!(app.available(mug).await, 5);
    assert_eq!(app.books().await, [""; 0]);
    assert_eq!(alice.story(&order).await, ["placed", "cancelling", "cancelled"]);
}

#[tokio::test]
async fn cancelling_again_has_no_second_effect() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let order = alice.order("mug", "tok_ok").await;
    let path = format!("{order}/cancel");

    let first = alice.post_with_key(&path, "k", json!({})).await.done(202);
    let replay = alice.post_with_key(&path, "k", json!({})).await.done(202);
    assert_eq!((&replay.body, replay.header("idempotent-replayed")), (&first.body, "true"));
    let again = staff.post(&path, json!({ "reason": "me too" })).await.done(202);
    assert_eq!((&again.body["version"], &again.body["cancel_reason"]), (&first.body["version"], &json!(null)));
    assert_eq!(app.jobs("cancel_order").await, 1);

    ManualWorker::of(&app).run().await;
    let done = alice.cancel(&order).await.done(202);
    assert_eq!(done.body["status"], "cancelled");
    assert_eq!(app.jobs("cancel_order").await, 1);
    assert_eq!(alice.story(&order).await, ["placed", "cancelling", "cancelled"]);
}

#[tokio::test]
async fn only_who_may_see_an_order_cancels_it() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let (alice, mallory, staff) = (app.customer().await, app.customer().await, app.staff().await);
    let order = alice.order("mug", "tok_ok").await;
    let before = as_it_is(&alice, &order).await;

    mallory.cancel(&order).await.refused(404, "order_not_found");
    app.anyone().cancel(&order).await.refused(401, "unauthenticated");
    staff.cancel(&format!("/v1/orders/{}", uuid::Uuid::now_v7())).await.refused(404, "order_not_found");
    let path = format!("{order}/cancel");
    alice.post(&path, json!({ "reason": "x".repeat(501) })).await.refused(422, "invalid_note");
    alice.post(&path, json!({ "why": "no" })).await.refused(422, "unknown_field");
    assert_eq!(as_it_is(&alice, &order).await, before);
    assert_eq!(app.jobs("cancel_order").await, 0);
}

#[tokio::test]
async fn an_order_that_is_being_shipped_cannot_be_cancelled() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let hands = ManualWorker::of(&app);
    let order = alice.order("mug", "tok_ok").await;
    hands.run_one("process_payment").await.unwrap();

    // As while the carrier is called: the order is still `paid`, and its shipment is `booking`.
    let id: OrderId = order.rsplit('/').next().unwrap().parse().unwrap();
    let mut tx = app.db.begin().await.unwrap();
    assert_eq!(ship::start(&mut tx, &[id]).await.unwrap().len(), 1);
    tx.commit().await.unwrap();
    let before = as_it_is(&alice, &order).await;
    assert_eq!(before.0["status"], "paid");
    alice.cancel(&order).await.refused(409, "order_not_cancellable");
    staff.move_to(&order, "cancelling").await.refused(409, "order_not_cancellable");
    assert_eq!(as_it_is(&alice, &order).await, before);

    hands.run_one("ship_order").await.unwrap();
    alice.cancel(&order).await.refused(409, "order_not_cancellable");
    hands.run_one("deliver_order").await.unwrap();
    staff.cancel(&order).await.refused(409, "order_not_cancellable");
    assert_eq!(alice.story(&order).await, ["placed", "processing", "paid", "shipped", "delivered"]);
    assert_eq!(app.shelves().await, (3, 0));
}

#[tokio::test]
async fn when_shipping_and_cancelling_race_exactly_one_wins() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 100).await;
    let alice = app.customer().await;
    let hands = ManualWorker::of(&app);
    let mut won = [0, 0];
    for _ in 0..12 {
        let order = alice.order("mug", "tok_ok").await;
        hands.run_one("process_payment").await.unwrap();
        let (_, asked) = join(hands.run_one("ship_order"), alice.cancel(&order)).await;
        hands.run().await;
        let (ended, story) = as_it_is(&alice, &order).await;
        let cancelled = asked.status == 202;
        if cancelled {
            assert_eq!((&ended["status"], &ended["payment"]["status"]), (&json!("cancelled"), &json!("refunded")));
            assert_eq!(ended["shipments"], json!([]));
            assert!(!story.contains(&"shipped".to_owned()), "{story:?}");
        } else {
            asked.refused(409, "order_not_cancellable");
            assert_eq!((&ended["status"], &ended["payment"]["status"]), (&json!("delivered"), &json!("charged")));
        }
        won[usize::from(cancelled)] += 1;
    }
    assert_eq!(app.shelves().await, (100 - 2 * won[0], 0));
}
