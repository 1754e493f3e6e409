//! Stock by name, stock as it was, how it changed, and what is reserved.

use serde_json::{Value, json};
use testkit::app::TestApp;
use uuid::Uuid;

use super::{Shelves, ids};

#[tokio::test]
async fn stock_is_found_by_sku_and_by_name() {
    let app = TestApp::new().await;
    let shop = Shelves::on(&app).await;
    let (_, mug) = shop.stocked("RED-MUG", 5).await;
    let (cup, cups) = shop.stocked("blue-cup", 5).await;
    for (query, expected) in [
        ("q=red".to_owned(), vec![mug.as_str()]),
        ("q=MUG".to_owned(), vec![&mug]),
        ("q=c".to_owned(), vec![]),
        ("q=b".to_owned(), vec![&cups]),
        (format!("q=-&product_id={cup}"), vec![]),
        ("q=-cup&low_stock=false".to_owned(), vec![&cups]),
        ("q=100%25".to_owned(), vec![]),
    ] {
        let list = shop.staff.get(&format!("/v1/inventory?{query}")).await.done(200);
        assert_eq!(ids(&list), expected, "{query}");
    }
    shop.staff.get(&format!("/v1/inventory?q={}", "x".repeat(101))).await.refused(422, "invalid_search");
}

#[tokio::test]
async fn stock_is_shown_as_it_was() {
    let app = TestApp::new().await;
    let shop = Shelves::on(&app).await;
    let (product, stock) = shop.stocked("mug", 40).await;
    let before = now(&app).await;
    let path = format!("/v1/inventory/{stock}/adjustments");
    shop.staff.post(&path, json!({ "delta": -3, "reason": "damaged" })).await.done(201);
    shop.reserve(json!([{ "product_id": product, "quantity": 2 }])).await.done(201);

    let row = |list: Value| (list["data"][0]["on_hand"].clone(), list["data"][0]["reserved"].clone());
    let as_of = |at: String| format!("/v1/inventory?q=mug&as_of={at}");
    let then = shop.staff.get(&as_of(before)).await.done(200).body;
    assert_eq!(then["data"][0]["available"], 40);
    assert_eq!(row(then), (json!(40), json!(0)));
    let at_present = shop.staff.get(&as_of(now(&app).await)).await.done(200).body;
    assert_eq!(row(at_present), (json!(37), json!(2)));
    let yesterday = shop.staff.get(&as_of(ago(&app, "1 day").await)).await.done(200).body;
    assert_eq!(yesterday["data"], json!([]), "the row did not exist");

    shop.staff.get(&as_of(ago(&app, "32 days").await)).await.refused(422, "too_far_back");
    let both = format!("{}&low_stock=true", as_of(now(&app).await));
    shop.staff.get(&both).await.refused(422, "invalid_value");
}

#[tokio::test]
async fn the_chart_of_a_row_ends_at_the_row() {
    let app = TestApp::new().await.without_audit("movements of earlier days are written by hand");
    let shop = Shelves::on(&app).await;
    let (product, stock) = shop.stocked("mug", 40).await;
    // As if 10 more units had been received three days ago and sold two days ago.
    let moved = "insert into stock_movements (id, product_id, warehouse_id, on_hand_delta, reason, created_at)
                 select overlay(gen_random_uuid()::text placing left(archive_id(now())::text, 13) from 1 for 13)::uuid, product_id, warehouse_id, delta, 'other', now() - age * interval '1 day'
                   from inventory, (values (10, 3), (-10, 2)) moved (delta, age)";
    sqlx::query(moved).execute(&app.db).await.unwrap();
    let path = format!("/v1/inventory/{stock}/adjustments");
    shop.staff.post(&path, json!({ "delta": -3, "reason": "damaged" })).await.done(201);
    shop.reserve(json!([{ "product_id": product, "quantity": 2 }])).await.done(201);

    let history = shop.staff.get(&format!("/v1/inventory/{stock}/history")).await.done(200).body;
    let point = |point: &Value| (point["on_hand"].as_i64().unwrap(), point["reserved"].as_i64().unwrap());
    assert_eq!(point(&history["now"]), (37, 2));
    let days = history["days"].as_array().unwrap();
    let by_day: Vec<_> = days.iter().map(point).collect();
    assert_eq!((by_day.len(), by_day[0], by_day[26], by_day[27], by_day[29]), (30, (0, 0), (0, 0), (10, 0), (0, 0)));
    let today: Vec<_> = history["today"].as_array().unwrap().iter().map(point).collect();
    assert_eq!(today, [(40, 0), (37, 0), (37, 2)]);
    shop.staff.get(&format!("/v1/inventory/{}/history", Uuid::now_v7())).await.refused(404, "inventory_not_found");
}

#[tokio::test]
async fn live_reservations_are_listed_with_their_orders() {
    let app = TestApp::new().await;
    let shop = Shelves::on(&app).await;
    let (mug, _) = shop.stocked("mug", 40).await;
    let (cup, _) = shop.stocked("cup", 40).await;
    let alice = app.customer().await;
    let order = alice.place(json!([{ "sku": "mug", "quantity": 1 }])).await.done(201);
    let by_hand = shop.reserve(json!([{ "product_id": cup, "quantity": 2 }])).await.done(201);
    let released = shop.reserve(json!([{ "product_id": cup, "quantity": 1 }])).await.done(201);
    shop.staff.post("/v1/inventory/release", json!({ "reservation_id": released.id() })).await.done(200);

    let list = async |query: &str| shop.staff.get(&format!("/v1/inventory/reservations?{query}")).await.done(200);
    let all = list("").await;
    assert_eq!(all.body["data"].as_array().unwrap().len(), 2);
    let mugs = list(&format!("product_id={mug}")).await;
    let row = &mugs.body["data"][0];
    assert_eq!((&row["order_id"], &row["order_number"]), (&json!(order.id()), &order.body["number"]));
    assert_eq!((&row["items"][0]["sku"], &row["items"][0]["quantity"]), (&json!("mug"), &json!(1)));
    let cups = list(&format!("product_id={cup}&warehouse_id={}", shop.east)).await;
    assert_eq!((ids(&cups), &cups.body["data"][0]["order_number"]), (vec![by_hand.id()], &Value::Null));
    assert_eq!(list(&format!("warehouse_id={}", shop.west)).await.body["data"], json!([]));

    let first = list("limit=1").await;
    let next = first.body["next_cursor"].as_str().unwrap();
    let second = list(&format!("limit=1&cursor={next}")).await;
    assert_eq!([ids(&first), ids(&second)].concat(), ids(&all));
    assert!(second.body["next_cursor"].is_null());
    alice.get("/v1/inventory/reservations").await.refused(403, "forbidden");
}

async fn now(app: &TestApp) -> String {
    ago(app, "0 s").await
}

/// The database's clock.
async fn ago(app: &TestApp, ago: &str) -> String {
    let sql = "select to_char(clock_timestamp() at time zone 'utc' - $1::text::interval, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    sqlx::query_scalar(sql).bind(ago).fetch_one(&app.db).await.unwrap()
}
