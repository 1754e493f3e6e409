//! `/v1/inventory`: rows of stock, what is low, what is on hand.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::app::TestApp;
use uuid::Uuid;

use super::{Shelves, ids};

#[tokio::test]
async fn stock_is_created_read_and_listed_with_filters() {
    let app = TestApp::new().await;
    let shop = Shelves::on(&app).await;
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
    let shop = Shelves::on(&app).await;
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
    let shop = Shelves::on(&app).await;
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
    let shop = Shelves::on(&app).await;
    let (mug, stock) = shop.stocked("mug", 5).await;
    let path = format!("/v1/inventory/{stock}");
    let seen = shop.staff.get(&path).await.header("etag").to_owned();

    // A sale does not change the version, so the client's copy is not stale.
    shop.reserve(json!([{ "product_id": mug, "quantity": 1 }])).await.done(201);
    let if_match = [("if-match", seen.as_str())];
    let updated = shop.staff.send(Method::PATCH, &path, Some(json!({ "reorder_level": 9 })), &if_match).await.done(200);
    assert_eq!((&updated.body["reorder_level"], &updated.body["reorder_quantity"]), (&json!(9), &json!(0)));
    assert_ne!(updated.header("etag"), seen);

    let nonsense = [("if-match", "null")];
    let patch = async |body| shop.staff.send(Method::PATCH, &path, Some(body), &nonsense).await;
    patch(json!({ "reorder_level": 1 })).await.refused(412, "version_mismatch");
    patch(json!({ "reorder_level": "many" })).await.refused(422, "invalid_value");
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
async fn the_public_sees_what_is_available_and_staff_see_the_shelves() {
    let app = TestApp::new().await;
    let shop = Shelves::on(&app).await;
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
    let shop = Shelves::on(&app).await;
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

    // Reserved units are not available, so a reservation can make stock low.
    shop.reserve(json!([{ "product_id": rows[2].0, "quantity": 4 }])).await.done(201);
    assert_eq!(ids(&shop.staff.get("/v1/inventory/low-stock").await), [at(1), at(2), at(3), at(4), at(0)]);
}
