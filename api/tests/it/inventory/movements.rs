//! `/v1/inventory/movements`: the ledger.

use serde_json::{Value, json};
use shared::inventory::reserve;
use shared::values::OrderId;
use testkit::app::TestApp;
use testkit::person::Reply;

use super::Shelves;

#[tokio::test]
async fn movements_are_found_by_product_warehouse_order_and_time() {
    let app = TestApp::new().await.without_audit("its orders are written by hand, without items, charges and jobs");
    let shop = Shelves::on(&app).await;
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
    app.assert_books_balance().await;
}
