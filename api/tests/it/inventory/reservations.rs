//! `/v1/inventory/reserve`, `release`, `ship`: reservations made by hand.

use serde_json::{Value, json};
use shared::inventory::reserve;
use shared::values::OrderId;
use testkit::app::TestApp;
use testkit::database::new_database;
use testkit::person::Person;
use uuid::Uuid;

use super::{Shelves, fields};

#[tokio::test]
async fn stock_is_reserved_then_released_once() {
    let app = TestApp::new().await;
    let shop = Shelves::on(&app).await;
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
    let shop = Shelves::on(&app).await;
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
    let shop = Shelves::on(&app).await;
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
    let shop = Shelves::on(&app).await;
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
    let shop = Shelves::on(&app).await;
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
    let shop = Shelves::on(&app).await;
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
    let app = TestApp::new().await.without_audit("its orders are written by hand, without items, charges and jobs");
    let shop = Shelves::on(&app).await;
    let (mug, stock) = shop.stocked("mug", 5).await;
    let held = shop.reserve(json!([{ "product_id": mug, "quantity": 2 }])).await.done(201);
    let order = shop.give_to_order(held.id(), "pending").await;
    let which = json!({ "reservation_id": held.id() });
    shop.staff.post("/v1/inventory/release", which.clone()).await.refused(409, "reservation_belongs_to_order");
    shop.staff.post("/v1/inventory/ship", which).await.refused(409, "reservation_belongs_to_order");
    assert_eq!((shop.state_of(held.id()).await, shop.level(&stock).await), ("held".to_owned(), (5, 2, 3)));
    let seen = shop.staff.get(held.header("location")).await.done(200);
    assert_eq!(seen.body["order_id"], json!(order));
    app.assert_books_balance().await;
}

/// The functions that the orders module calls. Each move happens once; repeating it changes nothing.
#[tokio::test]
async fn the_reservations_of_orders_move_together_and_once() {
    let app = TestApp::new().await.without_audit("its orders are written by hand, without items, charges and jobs");
    let shop = Shelves::on(&app).await;
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
    app.assert_books_balance().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_buyers_and_few_units_sell_exactly_the_units() {
    let url = new_database().await;
    let (one, two) = (TestApp::on(&url, &[]).await, TestApp::on(&url, &[]).await);
    let shop = Shelves::on(&one).await;
    let (mug, stock) = shop.stocked("mug", 20).await;
    shop.stock(&mug, &shop.west, 17).await;

    let body = json!({ "items": [{ "product_id": mug, "quantity": 1 }] });
    let buyers = (0..200).map(|n| {
        let app = if n % 2 == 0 { &one } else { &two };
        let buyer = Person { app, ..shop.staff.clone() };
        let body = body.clone();
        async move { buyer.post_patiently("/v1/inventory/reserve", body).await }
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
    let shop = Shelves::on(&app).await;
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
        let held = shop.staff.post_patiently("/v1/inventory/reserve", json!({ "items": order })).await.done(201);
        let path = format!("/v1/inventory/{}/adjustments", stocks[n % 4]);
        shop.staff.post_patiently(&path, json!({ "delta": 1, "reason": "received" })).await.done(201);
        let mut rows: Vec<_> =
            ["a", "b", "c", "d"].map(|sku| json!({ "sku": sku, "warehouse": "WEST", "quantity": 1000 + n })).into();
        rows.rotate_left(n % 4);
        shop.staff.post_patiently("/v1/inventory/bulk", json!({ "items": rows })).await.done(200);
        match n % 3 {
            0 => drop(
                shop.staff.post_patiently("/v1/inventory/ship", json!({ "reservation_id": held.id() })).await.done(200),
            ),
            1 => drop(
                shop.staff
                    .post_patiently("/v1/inventory/release", json!({ "reservation_id": held.id() }))
                    .await
                    .done(200),
            ),
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
