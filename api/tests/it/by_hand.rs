//! Manual changes of orders and stock record who made them, in the order's timeline and in `actions`.

use serde_json::{Value, json};

use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use testkit::person::Person;

/// The type and the `by` id of each event.
async fn authors(who: &Person<'_>, order: &str) -> Vec<(String, Option<String>)> {
    let events = who.get(&format!("{order}/events")).await.done(200);
    let author = |event: &Value| {
        let by = event["data"].as_object().unwrap().get("by").expect("every event says who did it");
        let id = by.is_object().then(|| by["id"].as_str().unwrap().to_owned());
        assert_eq!(id.is_some(), by["name"].is_string(), "{by}");
        (event["type"].as_str().unwrap().to_owned(), id)
    };
    events.body["data"].as_array().unwrap().iter().map(author).collect()
}

/// The manual actions on orders and stock, oldest first: action, actor and reason.
async fn actions(app: &TestApp) -> Vec<(String, String, Option<String>)> {
    sqlx::query_as(
        "select action, actor_id::text, reason from actions
          where subject_type in ('order', 'stock', 'reservation', 'reaper') order by id",
    )
    .fetch_all(&app.db)
    .await
    .unwrap()
}

#[tokio::test]
async fn an_orders_timeline_and_the_record_of_actions_say_who_did_it() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 50).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let hands = ManualWorker::of(&app);
    let by = |who: &Person<'_>| Some(who.id.to_string());
    let named = |events: &[(&str, Option<String>)]| -> Vec<(String, Option<String>)> {
        events.iter().map(|(event, by)| ((*event).to_owned(), by.clone())).collect()
    };

    let order = alice.order("mug", "tok_ok").await;
    hands.run_one("process_payment").await.unwrap();
    staff.move_to(&order, "shipped").await.done(200);
    staff.move_to(&order, "delivered").await.done(200);
    let expected = [
        ("placed", by(&alice)),
        ("processing", None),
        ("paid", None),
        ("shipped", by(&staff)),
        ("delivered", by(&staff)),
    ];
    assert_eq!(authors(&alice, &order).await, named(&expected));

    let other = alice.order("mug", "tok_ok").await;
    for _ in 0..2 {
        alice.post(&format!("{other}/cancel"), json!({ "reason": "ordered twice" })).await.done(202);
    }
    staff.move_to(&other, "paid").await.refused(409, "invalid_transition");
    hands.run_one("cancel_order").await.unwrap();
    let expected = [("placed", by(&alice)), ("cancelling", by(&alice)), ("cancelled", None)];
    assert_eq!(authors(&alice, &other).await, named(&expected));

    let (staff_id, alice_id) = (staff.id.to_string(), alice.id.to_string());
    let expected = [
        ("order.moved".to_owned(), staff_id.clone(), None),
        ("order.moved".to_owned(), staff_id, None),
        ("order.cancel_requested".to_owned(), alice_id, Some("ordered twice".to_owned())),
    ];
    assert_eq!(actions(&app).await, expected, "what changed nothing has no row");
    let moves: Vec<Value> = sqlx::query_scalar("select data from actions where action = 'order.moved' order by id")
        .fetch_all(&app.db)
        .await
        .unwrap();
    assert_eq!(moves, [json!({ "from": "paid", "to": "shipped" }), json!({ "from": "shipped", "to": "delivered" })]);
    app.assert_clean().await;
}

#[tokio::test]
async fn what_is_done_to_stock_by_hand_is_recorded_once() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 1250, 5).await;
    let staff = app.staff().await;
    let stock: String = sqlx::query_scalar("select id::text from inventory").fetch_one(&app.db).await.unwrap();
    let warehouse: String = sqlx::query_scalar("select code from warehouses").fetch_one(&app.db).await.unwrap();

    let row = format!("/v1/inventory/{stock}");
    staff.patch(&row, json!({ "reorder_level": 2 })).await.done(200);
    let damaged = json!({ "delta": -1, "reason": "damaged", "note": "dropped" });
    for _ in 0..2 {
        staff.post_with_key(&format!("{row}/adjustments"), "once", damaged.clone()).await.done(201);
    }
    for quantity in [9, 9] {
        let counted = json!({ "items": [{ "sku": "mug", "warehouse": warehouse, "quantity": quantity }] });
        staff.post("/v1/inventory/bulk", counted).await.done(200);
    }
    let mut reservations = Vec::new();
    for _ in 0..3 {
        let body = json!({ "items": [{ "product_id": mug, "quantity": 1 }] });
        reservations.push(staff.post("/v1/inventory/reserve", body).await.done(201).id().to_owned());
    }
    let of = |n: usize| json!({ "reservation_id": reservations[n] });
    staff.post("/v1/inventory/release", of(0)).await.done(200);
    staff.post("/v1/inventory/release", of(0)).await.refused(409, "reservation_not_held");
    staff.post("/v1/inventory/ship", of(1)).await.done(200);
    staff.post("/v1/inventory/reaper", json!({})).await.done(200);
    sqlx::query("update reservations set expires_at = now() - interval '1 minute'").execute(&app.db).await.unwrap();
    staff.post("/v1/inventory/reaper", json!({})).await.done(200);

    let expected = [
        ("stock.settings_changed", None),
        ("stock.adjusted", Some("dropped")),
        ("stock.counted", None),
        ("reservation.made", None),
        ("reservation.made", None),
        ("reservation.made", None),
        ("reservation.released", None),
        ("reservation.shipped", None),
        ("reaper.run", None),
    ]
    .map(|(action, reason)| (action.to_owned(), staff.id.to_string(), reason.map(ToOwned::to_owned)));
    assert_eq!(actions(&app).await, expected);
    app.assert_books_balance().await;
}
