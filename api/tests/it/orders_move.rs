//! Cancelling orders, and moving them by hand.

use futures::future::join;
use serde_json::json;
use shared::orders::ship;
use shared::values::OrderId;

use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use testkit::person::Person;
use testkit::providers::{Gated, Stops};

/// The timeline and the state, to see that a refusal changed nothing.
async fn as_it_is(who: &Person<'_>, order: &str) -> (serde_json::Value, Vec<String>) {
    (who.see(order).await, who.story(order).await)
}

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

    // The carrier is being called: the order is still `paid`, its shipment `booking`.
    let id: OrderId = order.rsplit('/').next().unwrap().parse().unwrap();
    let mut tx = app.db.begin().await.unwrap();
    assert_eq!(ship::start(&mut tx, id).await.unwrap().len(), 1);
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

#[tokio::test]
async fn staff_moves_an_order_along_the_lines_and_stock_follows() {
    let app = TestApp::with(&["--delivery-delay", "0s"]).await;
    app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let order = alice.order("mug", "tok_ok").await;

    staff.move_to(&order, "processing").await.done(200);
    assert_eq!(app.shelves().await, (5, 2));
    let paid = staff.move_to(&order, "paid").await.done(200).body;
    assert_eq!((&paid["payment"]["status"], &paid["payment"]["manual"]), (&json!("charged"), &json!(true)));
    assert_eq!(paid["payment"]["amount"], json!({ "amount": 2500, "currency": "USD" }));
    assert_eq!(paid["next_action"]["what"], "shipping");
    assert_eq!(app.shelves().await, (5, 2));
    staff.move_to(&order, "shipped").await.done(200);
    assert_eq!(app.shelves().await, (3, 0));
    let delivered = staff.move_to(&order, "delivered").await.done(200);
    assert_eq!((&delivered.body["status"], &delivered.body["next_action"]), (&json!("delivered"), &json!(null)));
    assert_eq!(delivered.header("etag"), format!("{}", json!(delivered.body["version"].to_string())));
    assert_eq!(alice.story(&order).await, ["placed", "processing", "paid", "shipped", "delivered"]);

    // The jobs of all that find nothing left to do.
    ManualWorker::of(&app).run().await;
    assert_eq!(alice.see(&order).await["version"], delivered.body["version"]);
    assert_eq!(app.books().await, [""; 0]);
}

#[tokio::test]
async fn staff_has_an_order_cancelled_from_every_state_that_allows_it() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 50).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let before_that: [&[&str]; 3] = [&[], &["processing"], &["processing", "paid"]];
    for (lead, to) in before_that.into_iter().flat_map(|lead| [(lead, "cancelling"), (lead, "cancelled")]) {
        let order = alice.order("mug", "tok_ok").await;
        for status in lead {
            staff.move_to(&order, status).await.done(200);
        }
        assert_eq!(staff.move_to(&order, to).await.done(200).body["status"], "cancelling");
        ManualWorker::of(&app).run().await;
        let cancelled = alice.see(&order).await;
        assert_eq!(cancelled["status"], "cancelled", "{lead:?} then {to}");
        let payment = if lead.contains(&"paid") { json!("refunded") } else { json!(null) };
        assert_eq!(cancelled["payment"]["status"], payment, "{lead:?} then {to}");
    }
    assert_eq!(app.shelves().await, (50, 0));
}

#[tokio::test]
async fn other_moves_are_refused_and_say_what_is_allowed() {
    let app = TestApp::with(&["--delivery-delay", "0s"]).await;
    app.product("mug", 1250, 50).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let cancel = ["cancelling", "cancelled"];
    for (lead, next) in [
        (&[][..], Some("processing")),
        (&["processing"], Some("paid")),
        (&["processing", "paid"], Some("shipped")),
        (&["processing", "paid", "shipped"], Some("delivered")),
        (&["processing", "paid", "shipped", "delivered"], None),
        (&["cancelling"], None),
        (&["cancelling", "worker"], None),
    ] {
        let order = alice.order("mug", "tok_ok").await;
        for status in lead {
            if *status == "worker" {
                ManualWorker::of(&app).run().await;
            } else {
                staff.move_to(&order, status).await.done(200);
            }
        }
        let before = as_it_is(&staff, &order).await;
        let may_cancel = lead.len() < 3 && !lead.contains(&"cancelling");
        let mut allowed: Vec<&str> = next.into_iter().collect();
        allowed.extend(if may_cancel { &cancel[..] } else { &[] });
        for to in ["pending", "processing", "paid", "shipped", "delivered", "cancelling", "cancelled"] {
            if allowed.contains(&to) {
                continue;
            }
            let refused = staff.move_to(&order, to).await;
            refused.refused(409, "invalid_transition");
            assert_eq!(refused.body["errors"][0]["allowed"], json!(allowed), "{lead:?} to {to}");
        }
        assert_eq!(as_it_is(&staff, &order).await, before, "nothing has changed");
    }
    let order = alice.order("mug", "tok_ok").await;
    staff.move_to(&order, "lost").await.refused(422, "invalid_value");
}

#[tokio::test]
async fn only_staff_moves_and_only_the_version_it_has_seen() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let order = alice.order("mug", "tok_ok").await;
    let before = as_it_is(&alice, &order).await;
    let path = format!("{order}/status");

    alice.move_to(&order, "processing").await.refused(403, "forbidden");
    let body = || Some(json!({ "status": "processing" }));
    let stale = staff.send(reqwest::Method::PATCH, &path, body(), &[("if-match", "\"7\"")]).await;
    stale.refused(412, "version_mismatch");
    staff.move_to(&format!("/v1/orders/{}", uuid::Uuid::now_v7()), "paid").await.refused(404, "order_not_found");
    assert_eq!(as_it_is(&alice, &order).await, before);

    let fresh = staff.send(reqwest::Method::PATCH, &path, body(), &[("if-match", "\"1\"")]).await.done(200);
    assert_eq!((&fresh.body["version"], fresh.header("etag")), (&json!(2), "\"2\""));
}

#[tokio::test]
async fn an_order_is_not_paid_by_hand_while_a_charge_is_out() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let provider = Gated::new(&app, Stops::BeforeAnswering);
    let hands = ManualWorker::with_provider(&app, provider.clone());
    let order = alice.order("mug", "tok_ok").await;

    let by_hand = async {
        provider.until_asked().await;
        let before = as_it_is(&alice, &order).await;
        assert_eq!(before.0["payment"]["status"], "pending");
        staff.move_to(&order, "paid").await.refused(409, "payment_in_progress");
        assert_eq!(as_it_is(&alice, &order).await, before);
        provider.let_go();
    };
    let (paid, ()) = join(hands.run_one("process_payment"), by_hand).await;
    paid.unwrap();

    let paid = alice.see(&order).await;
    assert_eq!((&paid["status"], &paid["payment"]["manual"]), (&json!("paid"), &json!(false)));
}

#[tokio::test]
async fn what_a_silent_provider_took_goes_back_when_the_order_is_paid_by_hand() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let hands = ManualWorker::of(&app);
    let order = alice.order("mug", "tok_timeout_charged").await;
    sqlx::query("update jobs set max_attempt = 1").execute(&app.db).await.unwrap();
    hands.run_one("process_payment").await.unwrap_err();
    assert_eq!(alice.see(&order).await["next_action"]["by"], "staff");
    assert_eq!(app.books().await, ["charged"]);

    let paid = staff.move_to(&order, "paid").await.done(200).body;
    assert_eq!((&paid["payment"]["status"], &paid["payment"]["manual"]), (&json!("charged"), &json!(true)));
    hands.run().await;

    assert_eq!(app.books().await, ["refunded"]);
    assert_eq!(alice.see(&order).await["status"], "delivered");
}
