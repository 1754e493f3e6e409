//! `/v1/inventory/{id}/adjustments`.

use serde_json::{Value, json};
use testkit::app::TestApp;
use uuid::Uuid;

use super::Shelves;

#[tokio::test]
async fn stock_is_adjusted_up_and_down_but_not_below_what_is_reserved() {
    let app = TestApp::new().await;
    let shop = Shelves::on(&app).await;
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
    let shop = Shelves::on(&app).await;
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
    let shop = Shelves::on(&app).await;
    let (_, stock) = shop.stocked("mug", 5).await;
    let path = format!("/v1/inventory/{stock}/adjustments");
    let body = json!({ "delta": 3, "reason": "received" });
    let first = shop.staff.post_with_key(&path, "k", body.clone()).await.done(201);
    let again = shop.staff.post_with_key(&path, "k", body).await.done(201);
    assert_eq!((again.header("idempotent-replayed"), &again.body), ("true", &first.body));
    assert_eq!(shop.level(&stock).await, (8, 0, 8));
}
