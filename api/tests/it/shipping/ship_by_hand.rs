//! Staff ship an order while a worker ships it too.

use serde_json::{Value, json};
use shared::orders::{deliver, ship};
use shared::shipping::is_open;
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use worker::error::Done;

use super::{PLAN, booked_orders, claim_one, pay, principal};

#[tokio::test]
async fn an_order_is_shipped_and_delivered_by_hand() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let placed = alice.place(json!([{ "sku": "mug", "quantity": 2 }])).await.done(201);
    let hands = ManualWorker::of(&app);
    let principal = principal(&app, &staff).await;
    let by_hand = async |order| {
        let mut tx = app.db.begin().await.unwrap();
        let ring = ship::ship_manually(&mut tx, &principal, order, &PLAN).await.unwrap();
        tx.commit().await.unwrap();
        ring
    };
    // An order that is not paid stays where it is.
    assert_eq!(by_hand(placed.id().parse().unwrap()).await, None);
    let mut conn = app.db.acquire().await.unwrap();
    assert!(!deliver::deliver_manually(&mut conn, &principal, placed.id().parse().unwrap()).await.unwrap());
    assert_eq!(app.shelf(mug).await, (5, 2));

    let order = pay(&app, &placed).await;
    let job = claim_one(&hands).await;
    assert!(by_hand(order).await.is_some());
    assert_eq!(by_hand(order).await, None);
    let shipped = alice.get(placed.header("location")).await.done(200);
    assert_eq!(shipped.body["status"], "shipped");
    assert_eq!(shipped.body["shipments"][0]["status"], "shipped");
    assert_eq!(shipped.body["shipments"][0]["tracking_number"], Value::Null);
    assert_eq!(app.shelf(mug).await, (3, 0));
    let by_staff = "select count(*) from stock_movements m join users u on u.id = m.actor_id
                     where m.reason = 'shipped' and u.role = 'staff'";
    assert_eq!(app.count(by_staff).await, 1);

    // The job that should have shipped the order finds nothing to do and books nothing.
    assert_eq!(hands.attempt(&job).await.unwrap(), Done::NothingToDo);
    assert_eq!(app.count("select count(*) from simulated_bookings").await, 0);

    assert!(deliver::deliver_manually(&mut conn, &principal, order).await.unwrap());
    assert!(!deliver::deliver_manually(&mut conn, &principal, order).await.unwrap());
    assert_eq!(hands.attempt(&claim_one(&hands).await).await.unwrap(), Done::Recorded);
    let delivered = alice.get(placed.header("location")).await.done(200);
    assert_eq!((&delivered.body["status"], &delivered.body["version"]), (&json!("delivered"), &json!(5)));
    let events = alice.get(&format!("{}/events", placed.header("location"))).await.done(200);
    assert_eq!(events.body["data"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn what_the_carrier_has_booked_is_kept_when_somebody_ships_meanwhile() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let hands = ManualWorker::of(&app);
    let mut booked = booked_orders(&app, &hands, &alice, 1).await.remove(0);
    assert!(is_open(&mut app.db.acquire().await.unwrap(), booked.order_id).await.unwrap());
    let mut tx = app.db.begin().await.unwrap();
    let principal = principal(&app, &staff).await;
    assert!(ship::ship_manually(&mut tx, &principal, booked.order_id, &PLAN).await.unwrap().is_some());
    tx.commit().await.unwrap();

    let order = booked.order_id;
    booked.shipments[0].tracking_number = Some("MR1234567890".to_owned());
    assert_eq!(hands.ctx.steps.record_shipping(booked).await.unwrap(), Done::Recorded);

    let read = alice.get(&format!("/v1/orders/{order}")).await.done(200);
    assert_eq!(read.body["shipments"][0]["tracking_number"], "MR1234567890");
    assert_eq!(app.shelf(mug).await, (4, 0));
    assert_eq!(app.count("select count(*) from jobs where kind = 'deliver_order'").await, 1);
}
