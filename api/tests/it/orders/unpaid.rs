//! What a customer who has never paid may hold unpaid, and how many orders one caller may have placed at a time.

use futures::future::join_all;
use serde_json::{Value, json};
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use testkit::person::{Person, Reply};
use testkit::until::until;
use uuid::Uuid;

async fn order(who: &Person<'_>, sku: &str, quantity: i64) -> Reply {
    who.place(json!([{ "sku": sku, "quantity": quantity }])).await
}

#[track_caller]
fn refused(reply: &Reply, says: &str) {
    reply.refused(409, "too_much_unpaid");
    let detail = reply.body["detail"].as_str().unwrap();
    assert!(detail.contains(says) && detail.contains("pay for an order first"), "{detail}");
}

#[tokio::test]
async fn a_new_account_cannot_hold_the_stock() {
    let app = TestApp::new().await;
    app.product("mug", 100, 1000).await;
    app.product("pot", 100, 10_000).await;
    app.product("cup", 100, 20).await;
    let eve = app.customer().await;

    // A fifth of the stock, or ten units; over all her orders.
    order(&eve, "mug", 150).await.done(201);
    refused(&order(&eve, "mug", 51).await, "200 units of `mug`");
    order(&eve, "mug", 50).await.done(201);
    order(&eve, "cup", 10).await.done(201);
    refused(&order(&eve, "cup", 1).await, "10 units of `cup`");
    // And 500 units in all.
    order(&eve, "pot", 290).await.done(201);
    refused(&order(&eve, "pot", 1).await, "would hold 501 units");
    assert_eq!(app.shelves().await.1, 500);
    // Short stock is said first: more than there is cannot be had by paying.
    app.product("jug", 100, 20).await;
    order(&app.customer().await, "jug", 21).await.refused(409, "insufficient_stock");

    // What is cancelled is not held; and who has paid is trusted.
    let bob = app.customer().await;
    order(&bob, "pot", 1).await.done(201);
    refused(&order(&bob, "pot", 500).await, "would hold 501 units");
    ManualWorker::of(&app).run().await;
    order(&bob, "pot", 600).await.done(201);
    app.assert_clean().await;
}

#[tokio::test]
async fn the_limits_hold_for_orders_that_arrive_at_once_at_two_processes() {
    let options = ["--max-unpaid-units=30", "--max-open-orders=0"];
    let app = TestApp::with(&options).await;
    let other = TestApp::on(&app.database_url, &options).await;
    for sku in ["a", "b", "c", "d"] {
        app.product(sku, 1, 1000).await;
    }
    let eve = app.customer().await;
    let there = Person { app: &other, ..eve.clone() };
    let replies = join_all((0..16).map(|n| {
        let who = if n % 2 == 0 { &eve } else { &there };
        order(who, ["a", "b", "c", "d"][n % 4], 10)
    }))
    .await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 3);
    assert_eq!(replies.iter().filter(|reply| reply.code() == "too_much_unpaid").count(), 13);
    assert_eq!(app.shelves().await.1, 30);
}

#[tokio::test]
async fn the_value_may_be_limited_and_each_limit_may_be_off() {
    let app = TestApp::with(&["--max-unpaid-value=1000"]).await;
    app.product("mug", 400, 1000).await;
    let eve = app.customer().await;
    order(&eve, "mug", 2).await.done(201);
    refused(&order(&eve, "mug", 1).await, "1200 USD");

    let app = TestApp::with(&["--max-unpaid-units=0", "--max-unpaid-share=0"]).await;
    app.product("mug", 400, 1000).await;
    order(&app.customer().await, "mug", 1000).await.done(201);
}

#[tokio::test]
async fn an_order_that_will_be_refused_does_not_wait_for_stock() {
    let app = TestApp::with(&["--max-open-orders=1"]).await;
    app.product("mug", 1, 10_000).await;
    let (eve, mallory) = (app.customer().await, app.customer().await);
    order(&eve, "mug", 1).await.done(201);

    let mut lock = app.db.begin().await.unwrap();
    sqlx::query("select from inventory for update").execute(&mut *lock).await.unwrap();
    order(&eve, "mug", 1).await.refused(409, "too_many_open_orders");
    refused(&order(&mallory, "mug", 501).await, "500 units");
    lock.rollback().await.unwrap();
    // A refusal frees its key.
    let body = |quantity: i64| testkit::person::order_of(json!([{ "sku": "mug", "quantity": quantity }]));
    refused(&mallory.post_with_key("/v1/orders", "k", body(501)).await, "500 units");
    mallory.post_with_key("/v1/orders", "k", body(2)).await.done(201);
}

#[tokio::test]
async fn a_caller_has_a_share_of_the_places_and_staff_have_none() {
    let app = TestApp::with(&["--max-placements-per-caller=2"]).await;
    app.product("mug", 1, 100).await;
    let (eve, alice, staff) = (app.customer().await, app.customer().await, app.staff().await);
    // The row is locked, so every order that has a place waits.
    let mut lock = app.db.begin().await.unwrap();
    sqlx::query("select from inventory for update").execute(&mut *lock).await.unwrap();
    let floods = join_all((0..5).map(|_| order(&eve, "mug", 1)));
    let others = async {
        until("an order waits for the lock", async || {
            let waiting =
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
            app.count(waiting).await > 0
        })
        .await;
        let honest = join_all([
            order(&alice, "mug", 1),
            order(&staff, "mug", 1),
            order(&staff, "mug", 1),
            order(&staff, "mug", 1),
        ]);
        let release = async {
            lock.rollback().await.unwrap();
        };
        let (honest, ()) = tokio::join!(honest, release);
        honest
    };
    let (floods, honest) = tokio::join!(floods, others);
    assert!(honest.iter().all(|reply| reply.status == 201), "{honest:#?}");
    assert_eq!(floods.iter().filter(|reply| reply.status == 201).count(), 2, "{floods:#?}");
    for refused in floods.iter().filter(|reply| reply.status != 201) {
        refused.refused(503, "overloaded");
    }
    order(&eve, "mug", 1).await.done(201);
}

/// The timeline as somebody sees it: the data of the event of this type.
async fn event(who: &Person<'_>, order: &str, kind: &str) -> Value {
    let events = who.get(&format!("{order}/events")).await.done(200);
    let found = events.body["data"].as_array().unwrap().iter().find(|event| event["type"] == kind).cloned();
    found.unwrap_or_else(|| panic!("no {kind} in {events:#?}"))["data"].take()
}

#[tokio::test]
async fn customers_do_not_see_warehouses() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let order = alice.order("mug", "tok_ok").await;
    ManualWorker::of(&app).run().await;

    let placed = event(&alice, &order, "placed").await;
    assert_eq!((&placed["sourcing"], &placed["total"]["amount"]), (&Value::Null, &json!(2500)));
    let shown = alice.see(&order).await;
    let listed = alice.get("/v1/orders").await.done(200).body["data"][0].clone();
    for view in [&shown, &listed, &event(&alice, &order, "shipped").await] {
        let shipment = &view["shipments"][0];
        assert!(shipment["tracking_number"].is_string() && shipment.get("warehouse_id").is_none(), "{view:#}");
    }
    assert_eq!(event(&staff, &order, "placed").await["sourcing"]["how"], "together");
    assert!(staff.see(&order).await["shipments"][0]["warehouse_id"].is_string());
    assert!(event(&staff, &order, "shipped").await["shipments"][0]["warehouse_id"].is_string());
}

#[tokio::test]
async fn staff_write_notes_for_each_other() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let order = alice.order("mug", "tok_ok").await;
    let (path, body) = (format!("{order}/notes"), json!({ "text": "Leave it with the neighbour." }));

    let noted = staff.post_with_key(&path, "n", body.clone()).await.done(201);
    assert_eq!((&noted.body["sequence"], &noted.body["type"]), (&json!(2), &json!("note")));
    assert_eq!(noted.body["data"]["text"], "Leave it with the neighbour.");
    assert_eq!(noted.body["data"]["by"]["id"], json!(staff.id));
    let again = staff.post_with_key(&path, "n", body.clone()).await.done(201);
    assert_eq!((again.header("idempotent-replayed"), &again.body), ("true", &noted.body));
    assert_eq!(event(&staff, &order, "note").await, noted.body["data"]);
    assert_eq!(alice.story(&order).await, ["placed", "note"]);
    assert_eq!(event(&alice, &order, "note").await.get("text"), None, "it is for staff");
    let actions = staff.get("/v1/ops/actions?action=order.noted").await.done(200);
    assert_eq!(actions.body["data"].as_array().unwrap().len(), 1);

    alice.post(&path, body.clone()).await.refused(403, "forbidden");
    staff.post(&path, json!({ "text": " " })).await.refused(422, "invalid_note");
    staff.post(&path, json!({})).await.refused(422, "missing_field");
    staff.post(&format!("/v1/orders/{}/notes", Uuid::now_v7()), body).await.refused(404, "order_not_found");
}
