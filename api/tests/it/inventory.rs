//! Stock: rows, adjustments, counts, reservations, the reaper, the ledger.

use reqwest::Method;
use serde_json::{Value, json};
use shared::inventory::reserve;
use shared::values::OrderId;
use uuid::Uuid;

use testkit::app::TestApp;
use testkit::database::new_database;
use testkit::person::{Person, Reply};

/// What most tests need: somebody with the right to, and where stock can lie.
struct Shop<'a> {
    app: &'a TestApp,
    staff: Person<'a>,
    east: String,
    west: String,
}

impl<'a> Shop<'a> {
    /// EAST is asked before WEST.
    async fn on(app: &'a TestApp) -> Self {
        let staff = app.staff().await;
        let west =
            staff.post("/v1/warehouses", json!({ "code": "WEST", "name": "West", "priority": 2 })).await.done(201);
        let east =
            staff.post("/v1/warehouses", json!({ "code": "EAST", "name": "East", "priority": 1 })).await.done(201);
        Self { app, staff, east: east.id().to_owned(), west: west.id().to_owned() }
    }

    async fn product(&self, sku: &str) -> String {
        let body = json!({ "sku": sku, "name": sku, "price": { "amount": 1200, "currency": "USD" } });
        self.staff.post("/v1/products", body).await.done(201).id().to_owned()
    }

    async fn stock(&self, product: &str, warehouse: &str, on_hand: i64) -> String {
        let body = json!({ "product_id": product, "warehouse_id": warehouse, "on_hand": on_hand });
        self.staff.post("/v1/inventory", body).await.done(201).id().to_owned()
    }

    /// A product and its stock in EAST.
    async fn stocked(&self, sku: &str, on_hand: i64) -> (String, String) {
        let product = self.product(sku).await;
        let stock = self.stock(&product, &self.east, on_hand).await;
        (product, stock)
    }

    async fn reserve(&self, items: Value) -> Reply {
        self.staff.post("/v1/inventory/reserve", json!({ "items": items })).await
    }

    async fn one(&self, stock: &str) -> Value {
        self.staff.get(&format!("/v1/inventory/{stock}")).await.done(200).body
    }

    /// (on hand, reserved, available)
    async fn level(&self, stock: &str) -> (i64, i64, i64) {
        let row = self.one(stock).await;
        let number = |name: &str| row[name].as_i64().unwrap();
        (number("on_hand"), number("reserved"), number("available"))
    }

    async fn movements(&self) -> i64 {
        sqlx::query_scalar("select count(*) from stock_movements").fetch_one(&self.app.db).await.unwrap()
    }

    async fn state_of(&self, reservation: &str) -> String {
        let reply = self.staff.get(&format!("/v1/inventory/reservations/{reservation}")).await.done(200);
        reply.body["state"].as_str().unwrap().to_owned()
    }

    async fn let_expire(&self, reservation: &str) {
        let sql = "update reservations set expires_at = clock_timestamp() - interval '1 ms' where id = $1::uuid";
        sqlx::query(sql).bind(reservation).execute(&self.app.db).await.unwrap();
    }

    /// Makes a reservation that of an order in this status.
    async fn give_to_order(&self, reservation: &str, status: &str) -> Uuid {
        let order = Uuid::now_v7();
        sqlx::query(
            "with c as (insert into customers (email, name) values ('a@example.com', 'A') returning id),
                  o as (insert into orders (id, customer_id, placed_by, status, currency, total_minor, shipping_address)
                        select $1, c.id, $2, $3, 'USD', 1200, '{}' from c returning id),
                  e as (insert into order_events (order_id, sequence, type) values ($1, 1, 'placed'))
             update reservations set order_id = $1 where id = $4::uuid",
        )
        .bind(order)
        .bind(self.staff.id)
        .bind(status)
        .bind(reservation)
        .execute(&self.app.db)
        .await
        .unwrap();
        order
    }

    async fn reap(&self) -> i64 {
        let reply = self.staff.post("/v1/inventory/reaper", json!({})).await.done(200);
        reply.body["released_reservations"].as_i64().unwrap()
    }
}

fn fields(reply: &Reply) -> Vec<(&str, &str)> {
    let errors = reply.body["errors"].as_array().unwrap();
    errors.iter().map(|error| (error["field"].as_str().unwrap(), error["code"].as_str().unwrap())).collect()
}

fn ids(reply: &Reply) -> Vec<&str> {
    reply.body["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn stock_is_created_read_and_listed_with_filters() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let mug = shop.product("mug").await;
    let body = json!({ "product_id": mug, "warehouse_id": shop.east, "on_hand": 5, "reorder_level": 7, "reorder_quantity": 20 });
    let created = shop.staff.post("/v1/inventory", body).await.done(201);
    for (name, value) in [
        ("product_id", json!(mug)),
        ("sku", json!("mug")),
        ("warehouse_id", json!(shop.east)),
        ("on_hand", json!(5)),
        ("reserved", json!(0)),
        ("available", json!(5)),
        ("reorder_level", json!(7)),
        ("reorder_quantity", json!(20)),
    ] {
        assert_eq!(created.body[name], value, "{name}");
    }
    let read = shop.staff.get(created.header("location")).await.done(200);
    assert_eq!(read.body, created.body);
    assert_eq!(read.header("etag"), created.header("etag"));

    let (low, cup) = (created.id(), shop.product("cup").await);
    let west = shop.stock(&mug, &shop.west, 50).await;
    let cups = shop.stock(&cup, &shop.east, 1).await;
    for (filter, expected) in [
        (String::new(), vec![low, &west, &cups]),
        (format!("?product_id={mug}"), vec![low, &west]),
        (format!("?warehouse_id={}", shop.east), vec![low, &cups]),
        (format!("?product_id={mug}&warehouse_id={}", shop.west), vec![&west]),
        ("?low_stock=true".to_owned(), vec![low]),
        (format!("?low_stock=true&product_id={cup}"), vec![]),
        ("?low_stock=false".to_owned(), vec![&west, &cups]),
    ] {
        let list = shop.staff.get(&format!("/v1/inventory{filter}")).await.done(200);
        assert_eq!(ids(&list), expected, "{filter}");
    }
    let first = shop.staff.get("/v1/inventory?limit=2").await.done(200);
    let next = first.body["next_cursor"].as_str().unwrap();
    let rest = shop.staff.get(&format!("/v1/inventory?limit=2&cursor={next}")).await.done(200);
    assert_eq!((ids(&rest), &rest.body["next_cursor"]), (vec![cups.as_str()], &Value::Null));

    shop.staff.get(&format!("/v1/inventory/{}", Uuid::now_v7())).await.refused(404, "inventory_not_found");
    shop.staff.get("/v1/inventory?colour=red").await.refused(422, "unknown_field");
    shop.staff.get("/v1/inventory?product_id=mug").await.refused(422, "invalid_value");
}

#[tokio::test]
async fn stock_of_what_is_unknown_or_there_already_is_refused() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, _) = shop.stocked("mug", 5).await;
    let before = shop.movements().await;
    for (change, status, code) in [
        (json!({}), 409, "inventory_exists"),
        (json!({ "product_id": Uuid::now_v7() }), 404, "product_not_found"),
        (json!({ "warehouse_id": Uuid::now_v7() }), 404, "warehouse_not_found"),
        (json!({ "product_id": "mug" }), 422, "invalid_value"),
        (json!({ "on_hand": -1 }), 422, "invalid_quantity"),
        (json!({ "on_hand": 1_000_000_001 }), 422, "invalid_quantity"),
        (json!({ "on_hand": 1.5 }), 422, "invalid_value"),
        (json!({ "reorder_level": -1 }), 422, "invalid_quantity"),
        (json!({ "reserved": 1 }), 422, "unknown_field"),
    ] {
        let mut body = json!({ "product_id": mug, "warehouse_id": shop.east, "on_hand": 1 });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        shop.staff.post("/v1/inventory", body).await.refused(status, code);
    }
    assert_eq!(ids(&shop.staff.get("/v1/inventory").await).len(), 1);
    assert_eq!(shop.movements().await, before);
}

#[tokio::test]
async fn a_customer_may_not_see_or_move_stock() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, stock) = shop.stocked("mug", 5).await;
    let customer = app.customer().await;
    let one = format!("/v1/inventory/{stock}");
    let reservation = format!("/v1/inventory/reservations/{}", Uuid::now_v7());
    for (method, path) in [
        (Method::GET, "/v1/inventory"),
        (Method::GET, "/v1/inventory/low-stock"),
        (Method::GET, "/v1/inventory/movements"),
        (Method::GET, &one),
        (Method::GET, &reservation),
        (Method::PATCH, &one),
        (Method::POST, "/v1/inventory"),
        (Method::POST, &format!("{one}/adjustments")),
        (Method::POST, "/v1/inventory/bulk"),
        (Method::POST, "/v1/inventory/reserve"),
        (Method::POST, "/v1/inventory/release"),
        (Method::POST, "/v1/inventory/ship"),
        (Method::POST, "/v1/inventory/reaper"),
    ] {
        let body = json!({ "items": [{ "product_id": mug, "quantity": 1 }] });
        let body = (method != Method::GET).then_some(body);
        customer.send(method.clone(), path, body.clone(), &[]).await.refused(403, "forbidden");
        app.anyone().send(method, path, body, &[]).await.refused(401, "unauthenticated");
    }
    assert_eq!(shop.level(&stock).await, (5, 0, 5));
}

#[tokio::test]
async fn reorder_settings_are_updated_by_whoever_has_seen_them() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, stock) = shop.stocked("mug", 5).await;
    let path = format!("/v1/inventory/{stock}");
    let seen = shop.staff.get(&path).await.header("etag").to_owned();

    // A sale is not an edit: it does not make the copy stale.
    shop.reserve(json!([{ "product_id": mug, "quantity": 1 }])).await.done(201);
    let if_match = [("if-match", seen.as_str())];
    let updated = shop.staff.send(Method::PATCH, &path, Some(json!({ "reorder_level": 9 })), &if_match).await.done(200);
    assert_eq!((&updated.body["reorder_level"], &updated.body["reorder_quantity"]), (&json!(9), &json!(0)));
    assert_ne!(updated.header("etag"), seen);

    let stale = shop.staff.send(Method::PATCH, &path, Some(json!({ "reorder_level": 1 })), &if_match).await;
    stale.refused(412, "version_mismatch");
    shop.staff.patch(&path, json!({ "reorder_level": -1 })).await.refused(422, "invalid_quantity");
    shop.staff.patch(&path, json!({ "on_hand": 100 })).await.refused(422, "unknown_field");
    let nowhere = format!("/v1/inventory/{}", Uuid::now_v7());
    shop.staff.patch(&nowhere, json!({ "reorder_level": 1 })).await.refused(404, "inventory_not_found");
    assert_eq!(shop.one(&stock).await, updated.body);

    let last = shop.staff.patch(&path, json!({ "reorder_quantity": 30 })).await.done(200);
    assert_eq!((&last.body["reorder_level"], &last.body["reorder_quantity"]), (&json!(9), &json!(30)));
}

#[tokio::test]
async fn stock_is_adjusted_up_and_down_but_not_below_what_is_reserved() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, stock) = shop.stocked("mug", 0).await;
    assert_eq!(shop.one(&stock).await["restocked_at"], Value::Null);
    let path = format!("/v1/inventory/{stock}/adjustments");

    let body = json!({ "delta": 10, "reason": "received", "note": "pallet 7" });
    let received = shop.staff.post(&path, body).await.done(201);
    for (name, value) in [
        ("product_id", json!(mug)),
        ("warehouse_id", json!(shop.east)),
        ("delta", json!(10)),
        ("on_hand_delta", json!(10)),
        ("reserved_delta", json!(0)),
        ("reason", json!("received")),
        ("note", json!("pallet 7")),
        ("actor_id", json!(shop.staff.id)),
        ("order_id", Value::Null),
        ("reservation_id", Value::Null),
    ] {
        assert_eq!(received.body[name], value, "{name}");
    }
    let restocked_at = shop.one(&stock).await["restocked_at"].clone();
    assert!(restocked_at.is_string());

    shop.reserve(json!([{ "product_id": mug, "quantity": 4 }])).await.done(201);
    shop.staff.post(&path, json!({ "delta": -6, "reason": "damaged" })).await.done(201);
    assert_eq!(shop.level(&stock).await, (4, 4, 0));
    let before = shop.movements().await;
    shop.staff.post(&path, json!({ "delta": -1, "reason": "counted" })).await.refused(409, "would_go_negative");
    assert_eq!((shop.level(&stock).await, shop.movements().await), ((4, 4, 0), before));

    shop.staff.post(&path, json!({ "delta": 1, "reason": "counted" })).await.done(201);
    assert_eq!(shop.one(&stock).await["restocked_at"], restocked_at, "a count is no delivery");
    shop.staff.post(&path, json!({ "delta": 1, "reason": "returned" })).await.done(201);
    assert_ne!(shop.one(&stock).await["restocked_at"], restocked_at);
}

#[tokio::test]
async fn an_adjustment_that_cannot_be_meant_is_refused() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (_, stock) = shop.stocked("mug", 5).await;
    let path = format!("/v1/inventory/{stock}/adjustments");
    for (body, code) in [
        (json!({ "delta": 0, "reason": "other" }), "invalid_delta"),
        (json!({ "delta": 1_000_000_000, "reason": "other" }), "invalid_delta"),
        (json!({ "delta": 3_000_000_000_i64, "reason": "other" }), "invalid_delta"),
        (json!({ "delta": -3_000_000_000_i64, "reason": "other" }), "invalid_delta"),
        (json!({ "delta": 1.5, "reason": "other" }), "invalid_value"),
        (json!({ "delta": 1, "reason": "shipped" }), "invalid_value"),
        (json!({ "delta": 1, "reason": "stolen" }), "invalid_value"),
        (json!({ "delta": 1 }), "missing_field"),
        (json!({ "reason": "other" }), "missing_field"),
        (json!({ "delta": 1, "reason": "other", "note": "x".repeat(501) }), "invalid_note"),
        (json!({ "delta": 1, "reason": "other", "by": "me" }), "unknown_field"),
    ] {
        shop.staff.post(&path, body).await.refused(422, code);
    }
    let nowhere = format!("/v1/inventory/{}/adjustments", Uuid::now_v7());
    let body = json!({ "delta": 1, "reason": "other" });
    shop.staff.post(&nowhere, body).await.refused(404, "inventory_not_found");
    assert_eq!(shop.level(&stock).await, (5, 0, 5));
}

#[tokio::test]
async fn the_same_adjustment_sent_again_is_made_once() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (_, stock) = shop.stocked("mug", 5).await;
    let path = format!("/v1/inventory/{stock}/adjustments");
    let body = json!({ "delta": 3, "reason": "received" });
    let first = shop.staff.post_with_key(&path, "k", body.clone()).await.done(201);
    let again = shop.staff.post_with_key(&path, "k", body).await.done(201);
    assert_eq!((again.header("idempotent-replayed"), &again.body), ("true", &first.body));
    assert_eq!(shop.level(&stock).await, (8, 0, 8));
}

#[tokio::test]
async fn the_public_sees_what_is_available_and_staff_see_the_shelves() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, _) = shop.stocked("mug", 5).await;
    shop.stock(&mug, &shop.west, 3).await;
    shop.reserve(json!([{ "product_id": mug, "quantity": 2 }])).await.done(201);
    let path = format!("/v1/inventory/onhand?product_id={mug}");

    let public = app.anyone().get(&path).await.done(200);
    assert_eq!(public.body, json!({ "product_id": mug, "available": 6 }));
    assert_eq!(app.customer().await.get(&path).await.body, public.body);
    let shelf = |id: &str, code: &str, on_hand: i64, reserved: i64| {
        json!({ "warehouse_id": id, "code": code, "active": true, "on_hand": on_hand, "reserved": reserved,
                "available": on_hand - reserved })
    };
    let staff = shop.staff.get(&path).await.done(200);
    assert_eq!(
        staff.body,
        json!({ "product_id": mug, "available": 6, "on_hand": 8, "reserved": 2,
                "warehouses": [shelf(&shop.east, "EAST", 5, 2), shelf(&shop.west, "WEST", 3, 0)] })
    );

    shop.staff.patch(&format!("/v1/warehouses/{}", shop.west), json!({ "active": false })).await.done(200);
    assert_eq!(app.anyone().get(&path).await.body["available"], 3, "what lies in an inactive warehouse is not sold");

    let unstocked = shop.product("cup").await;
    let none = app.anyone().get(&format!("/v1/inventory/onhand?product_id={unstocked}")).await.done(200);
    assert_eq!(none.body["available"], 0);
    let unknown = format!("/v1/inventory/onhand?product_id={}", Uuid::now_v7());
    app.anyone().get(&unknown).await.refused(404, "product_not_found");
    app.anyone().get("/v1/inventory/onhand").await.refused(422, "missing_field");
    app.anyone().get("/v1/inventory/onhand?product_id=mug").await.refused(422, "invalid_value");
}

#[tokio::test]
async fn low_stock_is_listed_worst_first() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let mut rows = Vec::new();
    for (sku, on_hand, level) in [("a", 5, 5), ("b", 0, 9), ("c", 6, 5), ("d", 2, 4), ("e", 3, 5)] {
        let (product, stock) = shop.stocked(sku, on_hand).await;
        shop.staff.patch(&format!("/v1/inventory/{stock}"), json!({ "reorder_level": level })).await.done(200);
        rows.push((product, stock));
    }
    let at = |row: usize| rows[row].1.as_str();
    let list = shop.staff.get("/v1/inventory/low-stock").await.done(200);
    assert_eq!(ids(&list), [at(1), at(3), at(4), at(0)]);

    let mut paged = Vec::new();
    let mut path = "/v1/inventory/low-stock?limit=1".to_owned();
    loop {
        let page = shop.staff.get(&path).await.done(200);
        paged.extend(ids(&page).into_iter().map(ToOwned::to_owned));
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = format!("/v1/inventory/low-stock?limit=1&cursor={cursor}");
    }
    assert_eq!(paged, ids(&list));

    // What is promised is not available, so a reservation can make stock low.
    shop.reserve(json!([{ "product_id": rows[2].0, "quantity": 4 }])).await.done(201);
    assert_eq!(ids(&shop.staff.get("/v1/inventory/low-stock").await), [at(1), at(2), at(3), at(4), at(0)]);
}

#[tokio::test]
async fn stock_is_reserved_then_released_once() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, stock) = shop.stocked("mug", 5).await;
    let body = json!({ "items": [{ "product_id": mug, "quantity": 2 }], "ttl_seconds": 60 });
    let held = shop.staff.post("/v1/inventory/reserve", body).await.done(201);
    assert_eq!(held.body["state"], "held");
    assert_eq!(held.body["items"], json!([{ "product_id": mug, "warehouse_id": shop.east, "quantity": 2 }]));
    assert_eq!(held.body["order_id"], Value::Null);
    let time = |name: &str| held.body[name].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert_eq!(
        (time("expires_at") - time("created_at")).num_seconds().clamp(59, 60),
        (time("expires_at") - time("created_at")).num_seconds()
    );
    assert_eq!(shop.staff.get(held.header("location")).await.done(200).body, held.body);
    assert_eq!(shop.level(&stock).await, (5, 2, 3));

    let which = json!({ "reservation_id": held.id() });
    let released = shop.staff.post("/v1/inventory/release", which.clone()).await.done(200);
    assert_eq!((released.id(), &released.body["state"]), (held.id(), &json!("released")));
    assert_eq!(shop.level(&stock).await, (5, 0, 5));
    shop.staff.post("/v1/inventory/release", which.clone()).await.refused(409, "reservation_not_held");
    shop.staff.post("/v1/inventory/ship", which).await.refused(409, "reservation_not_held");
    assert_eq!(shop.level(&stock).await, (5, 0, 5));

    let unknown = json!({ "reservation_id": Uuid::now_v7() });
    shop.staff.post("/v1/inventory/release", unknown.clone()).await.refused(404, "reservation_not_found");
    shop.staff.post("/v1/inventory/ship", unknown).await.refused(404, "reservation_not_found");
    let unknown = format!("/v1/inventory/reservations/{}", Uuid::now_v7());
    shop.staff.get(&unknown).await.refused(404, "reservation_not_found");
}

#[tokio::test]
async fn stock_is_reserved_then_shipped_once() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, stock) = shop.stocked("mug", 5).await;
    let held = shop.reserve(json!([{ "product_id": mug, "quantity": 2 }])).await.done(201);
    let which = json!({ "reservation_id": held.id() });
    let shipped = shop.staff.post("/v1/inventory/ship", which.clone()).await.done(200);
    assert_eq!(shipped.body["state"], "shipped");
    assert_eq!(shop.level(&stock).await, (3, 0, 3));
    shop.staff.post("/v1/inventory/ship", which.clone()).await.refused(409, "reservation_not_held");
    shop.staff.post("/v1/inventory/release", which).await.refused(409, "reservation_not_held");
    assert_eq!(shop.level(&stock).await, (3, 0, 3));
}

#[tokio::test]
async fn releasing_and_shipping_at_once_does_one_of_them() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, stock) = shop.stocked("mug", 100).await;
    for round in 0..10 {
        let held = shop.reserve(json!([{ "product_id": mug, "quantity": 1 }])).await.done(201);
        let which = json!({ "reservation_id": held.id() });
        let (released, shipped) = tokio::join!(
            shop.staff.post("/v1/inventory/release", which.clone()),
            shop.staff.post("/v1/inventory/ship", which.clone()),
        );
        let mut statuses = [released.status.as_u16(), shipped.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "round {round}");
    }
    assert_eq!(shop.level(&stock).await.1, 0);
}

#[tokio::test]
async fn over_reserving_says_what_was_requested_and_what_there_is() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, stock) = shop.stocked("mug", 5).await;
    let (cup, cups) = shop.stocked("cup", 5).await;
    shop.stock(&cup, &shop.west, 1).await;
    let none = shop.product("none").await;
    let before = shop.movements().await;

    let refused = shop
        .reserve(json!([
            { "product_id": mug, "quantity": 5 },
            { "product_id": cup, "quantity": 7 },
            { "product_id": none, "quantity": 1 },
        ]))
        .await;
    refused.refused(409, "insufficient_stock");
    let errors = refused.body["errors"].as_array().unwrap();
    let short = |error: &Value| {
        (error["field"].clone(), error["sku"].clone(), error["requested"].clone(), error["available"].clone())
    };
    assert_eq!(
        errors.iter().map(short).collect::<Vec<_>>(),
        [
            (json!("items[1].quantity"), json!("cup"), json!(7), json!(6)),
            (json!("items[2].quantity"), json!("none"), json!(1), json!(0)),
        ]
    );
    assert_eq!(errors[0]["product_id"], json!(cup));

    let named = shop.reserve(json!([{ "product_id": cup, "warehouse_id": shop.west, "quantity": 2 }])).await;
    named.refused(409, "insufficient_stock");
    assert_eq!(named.body["errors"][0]["available"], 1);
    assert_eq!((shop.level(&stock).await, shop.level(&cups).await), ((5, 0, 5), (5, 0, 5)));
    assert_eq!(shop.movements().await, before);
}

#[tokio::test]
async fn a_reservation_that_cannot_be_meant_is_refused() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, stock) = shop.stocked("mug", 5).await;
    let line = json!({ "product_id": mug, "quantity": 1 });
    for (body, code, field) in [
        (json!({}), "missing_field", "items"),
        (json!({ "items": [] }), "invalid_items", "items"),
        (json!({ "items": vec![line.clone(); 101] }), "invalid_items", "items"),
        (json!({ "items": [{ "product_id": mug, "quantity": 0 }] }), "invalid_quantity", "items[0].quantity"),
        (json!({ "items": [{ "product_id": mug, "quantity": 10_001 }] }), "invalid_quantity", "items[0].quantity"),
        (
            json!({ "items": [line, { "product_id": Uuid::now_v7(), "quantity": 1 }] }),
            "product_not_found",
            "items[1].product_id",
        ),
        (
            json!({ "items": [{ "product_id": mug, "warehouse_id": Uuid::now_v7(), "quantity": 1 }] }),
            "warehouse_not_found",
            "items[0].warehouse_id",
        ),
        (json!({ "items": [line], "ttl_seconds": 0 }), "invalid_ttl", "ttl_seconds"),
        (json!({ "items": [line], "ttl_seconds": 86_401 }), "invalid_ttl", "ttl_seconds"),
    ] {
        let reply = shop.staff.post("/v1/inventory/reserve", body).await;
        reply.refused(422, code);
        assert_eq!(fields(&reply), [(field, code)]);
    }
    assert_eq!(shop.level(&stock).await, (5, 0, 5));
}

#[tokio::test]
async fn lines_come_from_the_first_warehouse_that_has_them_all() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, cup) = (shop.product("mug").await, shop.product("cup").await);
    for (product, warehouse, on_hand) in
        [(&mug, &shop.east, 9), (&cup, &shop.east, 1), (&mug, &shop.west, 2), (&cup, &shop.west, 4)]
    {
        shop.stock(product, warehouse, on_hand).await;
    }
    let ask = async |mugs: i64, cups: i64| {
        let items = json!([{ "product_id": mug, "quantity": mugs }, { "product_id": cup, "quantity": cups }]);
        let reply = shop.reserve(items).await.done(201);
        let part = |part: &Value| {
            let sku = if part["product_id"] == json!(mug) { "mug" } else { "cup" };
            let code = if part["warehouse_id"] == json!(shop.east) { "EAST" } else { "WEST" };
            format!("{} {sku} {code}", part["quantity"])
        };
        let mut parts: Vec<_> = reply.body["items"].as_array().unwrap().iter().map(part).collect();
        parts.sort();
        let which = json!({ "reservation_id": reply.id() });
        shop.staff.post("/v1/inventory/release", which).await.done(200);
        parts
    };
    assert_eq!(ask(1, 1).await, ["1 cup EAST", "1 mug EAST"]);
    assert_eq!(ask(2, 2).await, ["2 cup WEST", "2 mug WEST"], "one parcel from the second before two");
    assert_eq!(ask(3, 2).await, ["2 cup WEST", "3 mug EAST"], "each whole");
    assert_eq!(ask(3, 5).await, ["1 cup EAST", "3 mug EAST", "4 cup WEST"], "split");

    shop.staff.patch(&format!("/v1/warehouses/{}", shop.west), json!({ "active": false })).await.done(200);
    let short = shop.reserve(json!([{ "product_id": cup, "quantity": 2 }])).await;
    short.refused(409, "insufficient_stock");
    assert_eq!(short.body["errors"][0]["available"], 1, "an inactive warehouse sells nothing");
}

#[tokio::test]
async fn an_orders_reservation_is_refused_by_hand() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, stock) = shop.stocked("mug", 5).await;
    let held = shop.reserve(json!([{ "product_id": mug, "quantity": 2 }])).await.done(201);
    let order = shop.give_to_order(held.id(), "pending").await;
    let which = json!({ "reservation_id": held.id() });
    shop.staff.post("/v1/inventory/release", which.clone()).await.refused(409, "reservation_belongs_to_order");
    shop.staff.post("/v1/inventory/ship", which).await.refused(409, "reservation_belongs_to_order");
    assert_eq!((shop.state_of(held.id()).await, shop.level(&stock).await), ("held".to_owned(), (5, 2, 3)));
    let seen = shop.staff.get(held.header("location")).await.done(200);
    assert_eq!(seen.body["order_id"], json!(order));
}

/// What the orders' own modules call; each edge is gone along once, whoever comes second changes nothing.
#[tokio::test]
async fn the_reservations_of_orders_move_together_and_once() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, mugs) = shop.stocked("mug", 100).await;
    let (cup, cups) = shop.stocked("cup", 100).await;
    let mut orders = Vec::new();
    for _ in 0..4 {
        let items = json!([{ "product_id": mug, "quantity": 2 }, { "product_id": cup, "quantity": 1 }]);
        let held = shop.reserve(items).await.done(201);
        orders.push(OrderId(shop.give_to_order(held.id(), "pending").await));
    }
    let mut conn = app.db.acquire().await.unwrap();
    let actor = None;
    assert_eq!(reserve::ship_of_orders(&mut conn, actor, &orders).await.unwrap(), [], "none is paid for");
    assert_eq!(reserve::post_of_orders(&mut conn, &orders[..3]).await.unwrap(), orders[..3]);
    assert_eq!(reserve::post_of_orders(&mut conn, &orders).await.unwrap(), orders[3..], "each once");
    assert_eq!((shop.level(&mugs).await, shop.level(&cups).await), ((100, 8, 92), (100, 4, 96)));
    assert_eq!(reserve::ship_of_orders(&mut conn, actor, &orders[..2]).await.unwrap(), orders[..2]);
    assert_eq!(reserve::ship_of_orders(&mut conn, actor, &orders[..2]).await.unwrap(), []);
    assert_eq!((shop.level(&mugs).await, shop.level(&cups).await), ((96, 4, 92), (98, 2, 96)));
    assert_eq!(
        reserve::release_of_orders(&mut conn, actor, &orders).await.unwrap(),
        orders[2..],
        "posted, not shipped"
    );
    assert_eq!(reserve::release_of_orders(&mut conn, actor, &orders).await.unwrap(), []);
    assert_eq!((shop.level(&mugs).await, shop.level(&cups).await), ((96, 0, 96), (98, 0, 98)));

    let told = shop.staff.get(&format!("/v1/inventory/movements?order_id={}", orders[0])).await.done(200);
    let rows = told.body["data"].as_array().unwrap();
    assert!(rows.len() == 2 && rows.iter().all(|row| row["reason"] == "shipped"), "{told:#?}");
}

#[tokio::test]
async fn the_reaper_releases_exactly_what_is_overdue() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, stock) = shop.stocked("mug", 20).await;
    let mut held = Vec::new();
    for _ in 0..7 {
        held.push(shop.reserve(json!([{ "product_id": mug, "quantity": 1 }])).await.done(201).id().to_owned());
    }
    let [overdue, fresh, of_order, of_charged, of_fresh, released, shipped] = held.try_into().unwrap();
    let pending = shop.give_to_order(&of_order, "pending").await;
    let charged = shop.give_to_order(&of_charged, "processing").await;
    let waiting = shop.give_to_order(&of_fresh, "pending").await;
    shop.staff.post("/v1/inventory/release", json!({ "reservation_id": released })).await.done(200);
    shop.staff.post("/v1/inventory/ship", json!({ "reservation_id": shipped })).await.done(200);
    for reservation in [&overdue, &of_order, &of_charged, &released, &shipped] {
        shop.let_expire(reservation).await;
    }

    assert_eq!(shop.reap().await, 2);
    for (reservation, state) in [
        (&overdue, "expired"),
        (&fresh, "held"),
        (&of_order, "expired"),
        (&of_charged, "held"),
        (&of_fresh, "held"),
        (&released, "released"),
        (&shipped, "shipped"),
    ] {
        assert_eq!(shop.state_of(reservation).await, state);
    }
    assert_eq!(shop.level(&stock).await, (19, 3, 16));
    for (order, expected) in [
        (pending, ("cancelled", Some("reservation_expired"), 2, 2)),
        (charged, ("processing", None, 1, 1)),
        (waiting, ("pending", None, 1, 1)),
    ] {
        let row: (String, Option<String>, i32, i64) = sqlx::query_as(
            "select status, cancel_reason, event_sequence, (select max(sequence)::bigint from order_events where order_id = id)
               from orders where id = $1",
        )
        .bind(order)
        .fetch_one(&app.db)
        .await
        .unwrap();
        assert_eq!((row.0.as_str(), row.1.as_deref(), row.2, row.3), expected);
    }
    let event: (String, Value) =
        sqlx::query_as("select type, data from order_events where order_id = $1 and sequence = 2")
            .bind(pending)
            .fetch_one(&app.db)
            .await
            .unwrap();
    assert_eq!(event, ("cancelled".to_owned(), json!({ "reason": "reservation_expired" })));

    assert_eq!(shop.reap().await, 0, "once");
}

#[tokio::test]
async fn the_reaper_leaves_what_somebody_else_is_moving_and_goes_on() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, stock) = shop.stocked("mug", 1000).await;
    // More than one step's worth.
    sqlx::query(
        "with made as (insert into reservations (expires_at, created_by)
                       select clock_timestamp() - n * interval '1 s', $1 from generate_series(1, 450) n returning id),
              lines as (insert into reservation_lines select id, $2::uuid, $3::uuid, 1 from made),
              told as (insert into stock_movements (product_id, warehouse_id, reserved_delta, reason, reservation_id)
                       select $2::uuid, $3::uuid, 1, 'reserved', id from made)
         update inventory set reserved = 450 where product_id = $2::uuid",
    )
    .bind(shop.staff.id)
    .bind(&mug)
    .bind(&shop.east)
    .execute(&app.db)
    .await
    .unwrap();
    let order = sqlx::query_scalar::<_, Uuid>("select id from reservations order by expires_at limit 1");
    let oldest = order.fetch_one(&app.db).await.unwrap();
    let order = shop.give_to_order(&oldest.to_string(), "pending").await;

    let mut busy = app.db.begin().await.unwrap();
    let moving = sqlx::query("update orders set status = 'processing' where id = $1").bind(order);
    moving.execute(&mut *busy).await.unwrap();
    assert_eq!(shop.reap().await, 449);
    busy.rollback().await.unwrap();
    assert_eq!(shop.level(&stock).await, (1000, 1, 999));
    assert_eq!(shop.reap().await, 1);
    assert_eq!(shop.level(&stock).await, (1000, 0, 1000));
}

#[tokio::test]
async fn what_is_overdue_blocks_nobody_also_when_the_reaper_is_dead() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, stock) = shop.stocked("mug", 5).await;
    let (cup, cups) = shop.stocked("cup", 5).await;
    let mugs_held = shop.reserve(json!([{ "product_id": mug, "quantity": 5 }])).await.done(201);
    let cups_held = shop.reserve(json!([{ "product_id": cup, "quantity": 5 }])).await.done(201);
    shop.let_expire(mugs_held.id()).await;
    shop.let_expire(cups_held.id()).await;

    let body = json!({ "items": [{ "product_id": mug, "quantity": 4 }] });
    let first = shop.staff.post_with_key("/v1/inventory/reserve", "k", body.clone()).await.done(201);
    let again = shop.staff.post_with_key("/v1/inventory/reserve", "k", body).await.done(201);
    assert_eq!(again.body, first.body);
    assert_eq!(shop.state_of(mugs_held.id()).await, "expired");
    assert_eq!(shop.state_of(cups_held.id()).await, "held", "other products are left to the reaper");
    assert_eq!((shop.level(&stock).await, shop.level(&cups).await), ((5, 4, 1), (5, 5, 0)));
    shop.reserve(json!([{ "product_id": mug, "quantity": 2 }])).await.refused(409, "insufficient_stock");
}

#[tokio::test]
async fn stock_is_counted_in_bulk_from_json() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, mugs) = shop.stocked("mug", 5).await;
    let (_, cups) = shop.stocked("cup", 7).await;
    let body = json!({ "items": [
        { "sku": "mug", "warehouse": "EAST", "quantity": 9, "at": "2026-01-02T03:04:05Z" },
        { "sku": "cup", "warehouse": shop.east, "quantity": 7 },
        { "product_id": mug, "warehouse": "WEST", "quantity": 2 },
    ]});
    let before = shop.movements().await;
    let counted = shop.staff.post_with_key("/v1/inventory/bulk", "k", body.clone()).await.done(200);
    assert_eq!(counted.body, json!({ "counted": 3, "changed": 2, "created": 1 }));
    assert_eq!((shop.level(&mugs).await, shop.level(&cups).await), ((9, 0, 9), (7, 0, 7)));
    assert_eq!(shop.movements().await, before + 2, "what is unchanged is not written");

    let ledger = shop.staff.get(&format!("/v1/inventory/movements?product_id={mug}&warehouse_id={}", shop.east)).await;
    let newest = &ledger.body["data"][0];
    assert_eq!((&newest["reason"], &newest["on_hand_delta"]), (&json!("counted"), &json!(4)));
    assert_eq!(newest["note"], "counted at 2026-01-02T03:04:05Z");
    assert_eq!(newest["actor_id"], json!(shop.staff.id));

    let again = shop.staff.post_with_key("/v1/inventory/bulk", "k", body.clone()).await.done(200);
    assert_eq!((again.header("idempotent-replayed"), &again.body), ("true", &counted.body));
    let repeated = shop.staff.post("/v1/inventory/bulk", body).await.done(200);
    assert_eq!(repeated.body, json!({ "counted": 3, "changed": 0, "created": 0 }));
}

async fn send_csv(person: &Person<'_>, key: &str, csv: &str) -> Reply {
    let request = person.request(Method::POST, "/v1/inventory/bulk").header("content-type", "text/csv; charset=utf-8");
    Reply::of(request.header("idempotency-key", key).body(csv.to_owned())).await
}

#[tokio::test]
async fn stock_is_counted_in_bulk_from_csv() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, mugs) = shop.stocked("mug", 5).await;
    let (_, cups) = shop.stocked("cup", 7).await;
    let csv =
        format!("\u{feff}sku, product_id,warehouse,quantity,at\nmug,,EAST,9,2026-01-02T03:04:05Z\r\n,{mug},WEST,2,\n");
    let counted = send_csv(&shop.staff, "k", &csv).await.done(200);
    assert_eq!(counted.body, json!({ "counted": 2, "changed": 2, "created": 1 }));
    assert_eq!(shop.level(&mugs).await, (9, 0, 9));
    let again = send_csv(&shop.staff, "k", &csv).await.done(200);
    assert_eq!(again.header("idempotent-replayed"), "true");

    for (csv, expected) in [
        (
            "sku,warehouse,quantity\nmug,EAST,many\ncup,EAST\ncup,EAST,3\n",
            vec![("items[0].quantity", "invalid_value"), ("items[1]", "invalid_csv")],
        ),
        ("sku,warehouse,quantity,colour\nmug,EAST,1,red\n", vec![("colour", "unknown_field")]),
        ("sku,warehouse\nmug,EAST\n", vec![("quantity", "missing_field")]),
        ("warehouse,quantity\nEAST,1\n", vec![("sku", "missing_field")]),
        ("sku,warehouse,quantity\n", vec![("items", "invalid_items")]),
        ("", vec![("warehouse", "missing_field")]),
    ] {
        let refused = send_csv(&shop.staff, "refused", csv).await;
        assert_eq!(refused.status, 422, "{refused:#?}");
        assert_eq!(fields(&refused), expected);
    }
    let other = shop.staff.request(Method::POST, "/v1/inventory/bulk").header("content-type", "text/plain").body("x");
    Reply::of(other).await.refused(415, "unsupported_media_type");
    assert_eq!((shop.level(&mugs).await, shop.level(&cups).await), ((9, 0, 9), (7, 0, 7)));
}

#[tokio::test]
async fn a_bulk_count_with_bad_rows_names_each_and_changes_nothing() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, mugs) = shop.stocked("mug", 5).await;
    shop.stocked("cup", 5).await;
    shop.reserve(json!([{ "product_id": mug, "quantity": 3 }])).await.done(201);
    let before = shop.movements().await;

    let body = json!({ "items": [
        { "sku": "cup", "warehouse": "EAST", "quantity": 1 },
        { "sku": "plate", "warehouse": "EAST", "quantity": 1 },
        { "product_id": Uuid::now_v7(), "warehouse": "EAST", "quantity": 1 },
        { "sku": "mug", "warehouse": "NORTH", "quantity": 1 },
        { "sku": "mug", "warehouse": Uuid::now_v7(), "quantity": 1 },
        { "sku": "mug", "warehouse": "WEST", "quantity": -1 },
        { "sku": "mug", "warehouse": "WEST", "quantity": "1" },
        { "warehouse": "WEST", "quantity": 1 },
        { "sku": "mug", "product_id": mug, "warehouse": "WEST", "quantity": 1 },
        { "sku": "mug", "warehouse": "WEST", "quantity": 1, "at": "2999-01-01T00:00:00Z" },
        { "sku": "mug", "warehouse": "WEST", "quantity": 1, "at": "yesterday" },
        { "sku": "mug", "warehouse": "WEST" },
        { "sku": "mug", "warehouse": "WEST", "quantity": 1, "colour": "red" },
        7,
        { "product_id": mug, "warehouse": shop.west, "quantity": 1 },
    ]});
    let refused = shop.staff.post("/v1/inventory/bulk", body).await;
    refused.refused(422, "validation_failed");
    assert_eq!(
        fields(&refused),
        [
            ("items[1].sku", "product_not_found"),
            ("items[2].product_id", "product_not_found"),
            ("items[3].warehouse", "warehouse_not_found"),
            ("items[4].warehouse", "warehouse_not_found"),
            ("items[5].quantity", "invalid_quantity"),
            ("items[6].quantity", "invalid_value"),
            ("items[7].sku", "missing_field"),
            ("items[8].product_id", "invalid_value"),
            ("items[9].at", "invalid_time"),
            ("items[10].at", "invalid_value"),
            ("items[11].quantity", "missing_field"),
            ("items[12].colour", "unknown_field"),
            ("items[13]", "invalid_value"),
            ("items[14]", "duplicate_row"),
        ]
    );

    let body = json!({ "items": [
        { "sku": "cup", "warehouse": "EAST", "quantity": 1 },
        { "sku": "mug", "warehouse": "EAST", "quantity": 2 },
        { "sku": "cup", "warehouse": "WEST", "quantity": 1 },
    ]});
    let refused = shop.staff.post("/v1/inventory/bulk", body).await;
    refused.refused(422, "below_reserved");
    assert_eq!(fields(&refused), [("items[1].quantity", "below_reserved")]);

    shop.staff.post("/v1/inventory/bulk", json!({ "items": [] })).await.refused(422, "invalid_items");
    shop.staff.post("/v1/inventory/bulk", json!({ "rows": [] })).await.refused(422, "unknown_field");
    assert_eq!(shop.level(&mugs).await, (5, 3, 2));
    assert_eq!(ids(&shop.staff.get("/v1/inventory").await).len(), 2);
    assert_eq!(shop.movements().await, before);
}

#[tokio::test]
async fn ten_thousand_rows_are_counted_at_once_and_one_more_is_refused() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let made = "insert into products (sku, name, price_minor, currency) select 'p' || n, 'p', 1, 'USD' from generate_series(1, 10000) n";
    sqlx::query(made).execute(&app.db).await.unwrap();
    let rows = |count: usize| -> Vec<Value> {
        // Wide enough to need more than the 1 MiB that other bodies have.
        let row = |n| json!({ "sku": format!("p{n}{}", " ".repeat(100)), "warehouse": "EAST", "quantity": n });
        (1..=count).map(row).collect()
    };
    let counted = shop.staff.post("/v1/inventory/bulk", json!({ "items": rows(10_000) })).await.done(200);
    assert_eq!((&counted.body["counted"], &counted.body["created"]), (&json!(10_000), &json!(10_000)));
    let refused = shop.staff.post("/v1/inventory/bulk", json!({ "items": rows(10_001) })).await;
    refused.refused(422, "invalid_items");
    let huge = json!({ "items": [{ "sku": "x".repeat(17 * 1024 * 1024), "warehouse": "EAST", "quantity": 1 }] });
    shop.staff.post("/v1/inventory/bulk", huge).await.refused(413, "body_too_large");
}

#[tokio::test]
async fn movements_are_found_by_product_warehouse_order_and_time() {
    let app = TestApp::new().await;
    let shop = Shop::on(&app).await;
    let (mug, _) = shop.stocked("mug", 5).await;
    shop.stock(&mug, &shop.west, 3).await;
    let (cup, _) = shop.stocked("cup", 7).await;
    let held = shop.reserve(json!([{ "product_id": cup, "quantity": 1 }])).await.done(201);
    let order = shop.give_to_order(held.id(), "pending").await;
    let mut conn = app.db.acquire().await.unwrap();
    reserve::release_of_orders(&mut conn, None, &[OrderId(order)]).await.unwrap();

    let all = shop.staff.get("/v1/inventory/movements").await.done(200);
    let rows = all.body["data"].as_array().unwrap();
    let brief =
        |row: &Value| format!("{} {} {}", row["reason"].as_str().unwrap(), row["on_hand_delta"], row["reserved_delta"]);
    let briefly = |reply: &Reply| reply.body["data"].as_array().unwrap().iter().map(brief).collect::<Vec<_>>();
    let everything = ["released 0 -1", "reserved 0 1", "received 7 0", "received 3 0", "received 5 0"];
    assert_eq!(briefly(&all), everything);
    let at = |row: usize| rows[row]["created_at"].as_str().unwrap();
    for (filter, expected) in [
        (format!("product_id={mug}"), &everything[3..]),
        (format!("product_id={mug}&warehouse_id={}", shop.west), &everything[3..4]),
        (format!("warehouse_id={}", shop.west), &everything[3..4]),
        (format!("order_id={order}"), &everything[..1]),
        (format!("from={}", at(2)), &everything[..3]),
        (format!("to={}", at(2)), &everything[3..]),
        (format!("product_id={cup}&from={}&to={}", at(2), at(0)), &everything[1..3]),
        ("from=2999-01-01T00:00:00Z".to_owned(), &[]),
        ("limit=2".to_owned(), &everything[..2]),
    ] {
        let list = shop.staff.get(&format!("/v1/inventory/movements?{filter}")).await.done(200);
        assert_eq!(briefly(&list), expected, "{filter}");
    }
    let first = shop.staff.get("/v1/inventory/movements?limit=3").await;
    let next = first.body["next_cursor"].as_str().unwrap();
    let rest = shop.staff.get(&format!("/v1/inventory/movements?limit=3&cursor={next}")).await.done(200);
    assert_eq!(briefly(&rest), everything[3..]);
    shop.staff.get("/v1/inventory/movements?from=yesterday").await.refused(422, "invalid_value");

    for forbidden in ["update stock_movements set note = 'x'", "delete from stock_movements"] {
        sqlx::query(forbidden).execute(&app.db).await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_buyers_and_few_units_sell_exactly_the_units() {
    let url = new_database().await;
    let (one, two) = (TestApp::on(&url, &[]).await, TestApp::on(&url, &[]).await);
    let shop = Shop::on(&one).await;
    let (mug, stock) = shop.stocked("mug", 20).await;
    shop.stock(&mug, &shop.west, 17).await;

    let body = json!({ "items": [{ "product_id": mug, "quantity": 1 }] });
    let buyers = (0..200).map(|n| {
        let app = if n % 2 == 0 { &one } else { &two };
        let buyer = Person { app, ..shop.staff.clone() };
        let body = body.clone();
        async move { buyer.post("/v1/inventory/reserve", body).await }
    });
    let replies = futures::future::join_all(buyers).await;
    let sold = replies.iter().filter(|reply| reply.status == 201).count();
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.refused(409, "insufficient_stock");
    }
    assert_eq!(sold, 37);
    assert_eq!(shop.level(&stock).await, (20, 20, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everybody_moves_the_same_stock_at_once_and_nobody_deadlocks() {
    let app = TestApp::with(&["--rate-limits", "off"]).await;
    let shop = Shop::on(&app).await;
    let mut products = Vec::new();
    let mut stocks = Vec::new();
    for sku in ["a", "b", "c", "d"] {
        let (product, stock) = shop.stocked(sku, 1000).await;
        shop.stock(&product, &shop.west, 1000).await;
        products.push(product);
        stocks.push(stock);
    }
    let (shop, products, stocks) = (&shop, &products, &stocks);
    let round = |n: usize| async move {
        let mut order: Vec<_> = products.iter().map(|id| json!({ "product_id": id, "quantity": 1 })).collect();
        order.rotate_left(n % 4);
        if n.is_multiple_of(2) {
            order.reverse();
        }
        let held = shop.reserve(json!(order)).await.done(201);
        let path = format!("/v1/inventory/{}/adjustments", stocks[n % 4]);
        shop.staff.post(&path, json!({ "delta": 1, "reason": "received" })).await.done(201);
        let mut rows: Vec<_> =
            ["a", "b", "c", "d"].map(|sku| json!({ "sku": sku, "warehouse": "WEST", "quantity": 1000 + n })).into();
        rows.rotate_left(n % 4);
        shop.staff.post("/v1/inventory/bulk", json!({ "items": rows })).await.done(200);
        match n % 3 {
            0 => drop(shop.staff.post("/v1/inventory/ship", json!({ "reservation_id": held.id() })).await.done(200)),
            1 => drop(shop.staff.post("/v1/inventory/release", json!({ "reservation_id": held.id() })).await.done(200)),
            _ => {
                shop.let_expire(held.id()).await;
                shop.reap().await;
            }
        }
    };
    futures::future::join_all((0..30).map(round)).await;
    for stock in stocks {
        assert_eq!(shop.level(stock).await.1, 0);
    }
}
