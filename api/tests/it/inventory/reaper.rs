//! `/v1/inventory/reaper`: overdue reservations.

use serde_json::{Value, json};
use testkit::app::TestApp;
use uuid::Uuid;

use super::Shelves;

#[tokio::test]
async fn the_reaper_releases_exactly_what_is_overdue() {
    let app = TestApp::new().await.without_audit("its orders are written by hand, without items, charges and jobs");
    let shop = Shelves::on(&app).await;
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
    assert_eq!(event, ("cancelled".to_owned(), json!({ "reason": "reservation_expired", "by": null })));

    assert_eq!(shop.reap().await, 0, "once");
    app.assert_books_balance().await;
}

#[tokio::test]
async fn the_reaper_leaves_what_somebody_else_is_moving_and_goes_on() {
    let app = TestApp::new().await.without_audit("its orders are written by hand, without items, charges and jobs");
    let shop = Shelves::on(&app).await;
    let (mug, stock) = shop.stocked("mug", 1000).await;
    // More than the reaper takes in one step.
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
    app.assert_books_balance().await;
}

#[tokio::test]
async fn what_is_overdue_blocks_nobody_also_when_the_reaper_is_dead() {
    let app = TestApp::new().await;
    let shop = Shelves::on(&app).await;
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
