//! `PATCH /v1/orders/{id}/status`: staff set the status of orders.

use futures::future::join;
use serde_json::json;
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use testkit::providers::{Gated, Stops};

use super::as_it_is;

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

    // The jobs of these steps find nothing left to do.
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
