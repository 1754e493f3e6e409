//! `POST /v1/orders`, one order at a time.

use api::config::Cli;
use clap::Parser;
use serde_json::{Value, json};
use testkit::app::{TEST_KEY, TestApp};
use testkit::database::new_database;
use testkit::person::order_of;
use uuid::Uuid;

/// Checks that no row, idempotency key or job of an order is stored.
async fn assert_nothing_stored(app: &TestApp) {
    for sql in [
        "select count(*) from orders",
        "select count(*) from order_items",
        "select count(*) from order_events",
        "select count(*) from reservations",
        "select count(*) from jobs",
        "select count(*) from idempotency_keys",
        "select coalesce(sum(reserved), 0) from inventory",
    ] {
        assert_eq!(app.count(sql).await, 0, "{sql}");
    }
}

#[tokio::test]
async fn an_order_is_placed() {
    let app = TestApp::new().await;
    let (mug, pot) = (app.product("mug", 1250, 5).await, app.product("pot", 4000, 5).await);
    let (alice, staff) = (app.customer().await, app.staff().await);

    let placed =
        alice.place(json!([{ "sku": "mug", "quantity": 2 }, { "product_id": pot, "quantity": 1 }])).await.done(201);

    let order = &placed.body;
    assert_eq!(order["status"], "pending");
    assert_eq!(order["total"], json!({ "amount": 6500, "currency": "USD" }));
    assert_eq!(order["items"][0]["product_id"], json!(mug));
    assert_eq!(order["items"][0]["unit_price"]["amount"], 1250);
    assert_eq!(order["items"][1]["sku"], "pot");
    assert_eq!(order["next_action"]["what"], "payment");
    assert_eq!(order["next_action"]["by"], "worker");
    assert_eq!(placed.header("location"), format!("/v1/orders/{}", placed.id()));

    // The stock is reserved, and the payment job has the id of the request.
    assert_eq!((app.available(mug).await, app.available(pot).await), (3, 4));
    let (kind, queue, state, request_id, args): (String, String, String, String, Value) =
        sqlx::query_as("select kind, queue::text, state, request_id, args from jobs").fetch_one(&app.db).await.unwrap();
    assert_eq!((kind.as_str(), queue.as_str(), state.as_str()), ("process_payment", "high", "ready"));
    assert_eq!(request_id, placed.header("x-request-id"));
    assert_eq!(args, json!({ "order_id": order["id"] }));

    let timeline = staff.get(&format!("{}/events", placed.header("location"))).await.done(200);
    assert_eq!(timeline.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(timeline.body["data"][0]["type"], "placed");
    assert_eq!(timeline.body["data"][0]["sequence"], 1);
    assert_eq!(timeline.body["data"][0]["data"]["sourcing"]["how"], "together");

    let read = alice.get(placed.header("location")).await.done(200);
    assert_eq!(read.body["items"], order["items"]);
    assert_eq!(read.body["number"], order["number"]);
    assert_eq!(read.header("etag"), placed.header("etag"));
}

#[tokio::test]
async fn an_order_is_refused_with_insufficient_stock_and_nothing_is_stored() {
    let app = TestApp::new().await;
    let (mug, pot) = (app.product("mug", 1250, 5).await, app.product("pot", 4000, 1).await);
    let alice = app.customer().await;

    let refused = alice
        .post_with_key(
            "/v1/orders",
            "k",
            order_of(json!([{ "product_id": mug, "quantity": 2 }, { "sku": "pot", "quantity": 3 }])),
        )
        .await;

    refused.refused(409, "insufficient_stock");
    let line = &refused.body["errors"][0];
    assert_eq!(line["field"], "items[1].quantity");
    assert_eq!((&line["requested"], &line["available"]), (&json!(3), &json!(1)));
    assert_eq!((&line["product_id"], &line["sku"]), (&json!(pot), &json!("pot")));
    assert_nothing_stored(&app).await;

    // A refused request frees its key.
    alice.post_with_key("/v1/orders", "k", order_of(json!([{ "sku": "pot", "quantity": 1 }]))).await.done(201);
}

#[tokio::test]
async fn unknown_and_inactive_products_are_refused_by_line() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 1250, 5).await;
    let old = app.product("old", 1250, 5).await;
    sqlx::query("update products set active = false where id = $1").bind(old).execute(&app.db).await.unwrap();
    let alice = app.customer().await;
    let nobody = Uuid::now_v7();
    for (lines, code, field) in [
        (
            json!([{ "product_id": mug, "quantity": 1 }, { "product_id": nobody, "quantity": 1 }]),
            "product_not_found",
            "items[1].product_id",
        ),
        (json!([{ "sku": "nothing", "quantity": 1 }]), "product_not_found", "items[0].sku"),
        (json!([{ "product_id": old, "quantity": 1 }]), "product_inactive", "items[0].product_id"),
    ] {
        let refused = alice.place(lines).await;
        refused.refused(422, code);
        assert_eq!(refused.body["errors"][0]["field"], field);
    }
    assert_nothing_stored(&app).await;
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_and_changes_nothing() {
    let app = TestApp::with(&["--max-unpaid-units=0", "--max-unpaid-share=0"]).await;
    let mug = app.product("mug", 1_000_000_000_000, 1_000_000).await;
    let alice = app.customer().await;
    let line = json!({ "product_id": mug, "quantity": 1 });
    let with = |field: &str, value: Value| {
        let mut body = order_of(json!([line]));
        body[field] = value;
        body
    };
    for (body, status, code) in [
        (json!({}), 422, "missing_field"),
        (with("items", json!([])), 422, "invalid_items"),
        (with("items", json!(vec![line.clone(); 101])), 422, "invalid_items"),
        (with("items", json!([{ "product_id": mug, "quantity": 0 }])), 422, "invalid_quantity"),
        (with("items", json!([{ "product_id": mug, "quantity": -1 }])), 422, "invalid_quantity"),
        (with("items", json!([{ "product_id": mug, "quantity": 10_001 }])), 422, "invalid_quantity"),
        (with("items", json!([{ "product_id": mug, "quantity": 1.5 }])), 422, "invalid_value"),
        (
            with("items", json!([{ "product_id": mug, "quantity": 6000 }, { "sku": "mug", "quantity": 6000 }])),
            422,
            "invalid_quantity",
        ),
        (with("items", json!([{ "product_id": mug, "sku": "mug", "quantity": 1 }])), 422, "product_or_sku"),
        (with("items", json!([{ "quantity": 1 }])), 422, "product_or_sku"),
        (with("items", json!([{ "product_id": "mug", "quantity": 1 }])), 422, "invalid_value"),
        (with("items", json!([{ "product_id": mug, "quantity": 1, "price": 1 }])), 422, "unknown_field"),
        (with("items", json!("mug")), 422, "invalid_value"),
        (with("payment_token", json!("")), 422, "invalid_payment_token"),
        (with("payment_token", json!("tok\u{0}ok")), 422, "invalid_text"),
        (with("shipping_address", json!({})), 422, "invalid_address"),
        (with("shipping_address", json!({ "line1": "x".repeat(501) })), 422, "invalid_address"),
        (with("shipping_address", json!({ "line1": { "deep": {} } })), 422, "invalid_address"),
        (with("coupon", json!("x")), 422, "unknown_field"),
    ] {
        alice.post("/v1/orders", body).await.refused(status, code);
    }
    assert_nothing_stored(&app).await;

    // The total is right even with the highest price and quantity.
    let placed = alice.place(json!([{ "product_id": mug, "quantity": 10_000 }])).await.done(201);
    assert_eq!(placed.body["total"]["amount"], 10_000_000_000_000_000_i64);
}

#[tokio::test]
async fn the_same_product_on_two_lines_is_one_line_with_the_sum() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 100, 5).await;
    let alice = app.customer().await;
    let lines = json!([{ "product_id": mug, "quantity": 2 }, { "sku": "mug", "quantity": 3 }]);
    let placed = alice.place(lines.clone()).await.done(201);
    assert_eq!(placed.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(placed.body["items"][0]["quantity"], 5);
    alice.place(lines).await.refused(409, "insufficient_stock");
}

#[tokio::test]
async fn the_price_at_placement_stays_when_the_product_changes() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let placed = alice.place(json!([{ "product_id": mug, "quantity": 2 }])).await.done(201);
    sqlx::query("update products set price_minor = 9999, name = 'Renamed' where id = $1")
        .bind(mug)
        .execute(&app.db)
        .await
        .unwrap();
    let read = alice.get(placed.header("location")).await.done(200);
    assert_eq!(read.body["items"], placed.body["items"]);
    assert_eq!(read.body["total"]["amount"], 2500);
    let next = alice.place(json!([{ "product_id": mug, "quantity": 1 }])).await.done(201);
    assert_eq!(next.body["total"]["amount"], 9999);
}

#[tokio::test]
async fn staff_place_for_a_customer_and_customers_only_for_themselves() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 50).await;
    let (alice, bob, staff) = (app.customer().await, app.customer().await, app.staff().await);
    let own = alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201);
    let alices = own.body["customer_id"].clone();
    let mut body = order_of(json!([{ "sku": "mug", "quantity": 1 }]));
    body["customer_id"] = alices.clone();
    bob.post("/v1/orders", body.clone()).await.refused(403, "forbidden");
    let placed = staff.post("/v1/orders", body.clone()).await.done(201);
    assert_eq!(placed.body["customer_id"], alices);
    alice.get(placed.header("location")).await.done(200);
    body["customer_id"] = json!(Uuid::now_v7());
    staff.post("/v1/orders", body).await.refused(422, "customer_not_found");
    assert_eq!(app.count("select count(*) from orders").await, 2);
}

#[tokio::test]
async fn lines_come_from_the_first_warehouse_that_has_them_all() {
    let app = TestApp::new().await;
    let (mug, pot) = (app.bare_product("mug", 1).await, app.bare_product("pot", 1).await);
    let (near, far) = (app.warehouse("NEAR", 1).await, app.warehouse("FAR", 2).await);
    let closed = app.warehouse("CLOSED", 0).await;
    sqlx::query("update warehouses set active = false where id = $1").bind(closed).execute(&app.db).await.unwrap();
    app.stock(mug, near, 5).await;
    app.stock(mug, far, 5).await;
    app.stock(pot, far, 5).await;
    app.stock(pot, closed, 50).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let sourced = async |lines: Value| {
        let placed = alice.place(lines).await.done(201);
        let events = staff.get(&format!("{}/events", placed.header("location"))).await.done(200);
        let sourcing = events.body["data"][0]["data"]["sourcing"].clone();
        let from: Vec<Value> =
            sourcing["from"].as_array().unwrap().iter().map(|one| one["warehouse_id"].clone()).collect();
        (sourcing["how"].as_str().unwrap().to_owned(), from)
    };
    assert_eq!(sourced(json!([{ "sku": "mug", "quantity": 1 }])).await, ("together".to_owned(), vec![json!(near)]));
    let both = json!([{ "sku": "mug", "quantity": 1 }, { "sku": "pot", "quantity": 1 }]);
    assert_eq!(sourced(both).await, ("together".to_owned(), vec![json!(far), json!(far)]));
    let (how, _) = sourced(json!([{ "sku": "mug", "quantity": 8 }])).await;
    assert_eq!(how, "split");
    alice.place(json!([{ "sku": "pot", "quantity": 5 }])).await.refused(409, "insufficient_stock");
}

#[tokio::test]
async fn the_same_key_is_one_order_and_the_same_answer() {
    let app = TestApp::new().await.without_audit("it marks an order as paid that nobody was charged for");
    app.product("mug", 1250, 5).await;
    let (alice, bob) = (app.customer().await, app.customer().await);
    let body = order_of(json!([{ "sku": "mug", "quantity": 1 }]));

    let first = alice.post_with_key("/v1/orders", "k-1", body.clone()).await.done(201);
    assert_eq!(first.header("idempotent-replayed"), "");
    // Later changes of the order and the product do not change the first answer.
    sqlx::query("update orders set status = 'paid', version = 2, updated_at = now()").execute(&app.db).await.unwrap();
    sqlx::query("update products set name = 'Renamed', price_minor = 1").execute(&app.db).await.unwrap();
    let second = alice.post_with_key("/v1/orders", "k-1", body.clone()).await.done(201);
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!((&second.body, second.header("location")), (&first.body, first.header("location")));
    assert_eq!(second.header("etag"), first.header("etag"));

    let other = order_of(json!([{ "sku": "mug", "quantity": 2 }]));
    alice.post_with_key("/v1/orders", "k-1", other).await.refused(422, "idempotency_key_reused");
    alice.post_with_key("/v1/orders", &"k".repeat(256), body.clone()).await.refused(422, "invalid_idempotency_key");
    assert_eq!(app.count("select count(*) from orders").await, 1);

    // Each user has their own keys, and keys expire after 24 hours.
    bob.post_with_key("/v1/orders", "k-1", body.clone()).await.done(201);
    sqlx::query("update idempotency_keys set created_at = now() - interval '25 hours'").execute(&app.db).await.unwrap();
    let fresh = alice.post_with_key("/v1/orders", "k-1", body).await.done(201);
    assert_ne!(fresh.body["id"], first.body["id"]);
    app.assert_books_balance().await;
}

#[tokio::test]
async fn with_the_database_away_an_order_is_refused_and_may_be_repeated() {
    let database_url = new_database().await;
    let app = TestApp::on(&database_url, &[]).await;
    app.product("mug", 1, 100).await;
    let alice = app.customer().await;
    alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201);
    app.state.db.close().await;
    let refused = alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await;
    refused.refused(503, "unavailable");
    assert_eq!(app.count("select count(*) from orders").await, 1);
}

#[test]
fn a_wrong_setting_is_named() {
    let refused = Cli::try_parse_from([
        "millrace-api",
        "--database-url",
        "x",
        "--jwt-private-key",
        TEST_KEY,
        "--reservation-ttl",
        "soon",
    ]);
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("--reservation-ttl") && message.contains("15m"), "{message}");
}
