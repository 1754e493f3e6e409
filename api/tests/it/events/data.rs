//! What the events of each type say.

use serde_json::{Value, json};
use shared::inventory::transfer::transfer;
use shared::principal::Principal;
use shared::values::InventoryId;
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use testkit::person::Person;
use uuid::Uuid;

use super::types;

/// The events about one order, product or row of stock, checked for what every event has.
async fn about(app: &TestApp, staff: &Person<'_>, subject: &str) -> Vec<Value> {
    app.number_events().await;
    let (events, _) = staff.feed(None, &format!("subject={subject}")).await;
    for (event, sequence) in events.iter().zip(1..) {
        assert_eq!(event["sequence"], sequence, "no gaps: {events:#?}");
        assert_eq!(event["id"], format!("evt_{subject}_{sequence}"));
        assert_eq!(event["subject"]["id"], subject);
        let name = event["type"].as_str().unwrap();
        assert_eq!(event["subject"]["type"], name.split('.').next().unwrap());
        let catalogue = shared::feed::catalogue::catalogue();
        let schema = &catalogue.iter().find(|one| one.name == name).expect("it is in the catalogue").schema;
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let known = keys(&schema["properties"]);
        assert!(keys(&event["data"]).iter().all(|key| known.contains(key)), "{event:#} against {schema:#}");
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        assert!(required.iter().all(|key| event["data"].get(key.as_str().unwrap()).is_some()), "{event:#}");
    }
    events
}

fn id_of(order: &str) -> &str {
    order.rsplit('/').next().unwrap()
}

#[tokio::test]
async fn the_life_of_an_order() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 1250, 9).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let order = alice.order("mug", "tok_ok").await;
    ManualWorker::of(&app).run().await;

    let seen = alice.see(&order).await;
    let events = about(&app, &staff, id_of(&order)).await;
    let kinds = ["order.placed", "order.processing", "order.paid", "order.shipped", "order.delivered"];
    assert_eq!(types(&events), kinds);
    let (number, customer_id) = (&seen["number"], &seen["customer_id"]);
    let usd = |amount: i64| json!({ "amount": amount, "currency": "USD" });
    assert_eq!(
        events[0]["data"],
        json!({
            "number": number, "customer_id": customer_id, "status": "pending", "by": { "id": alice.id, "name": null },
            "total": usd(2500),
            "items": [{ "product_id": mug, "sku": "mug", "quantity": 2, "unit_price": usd(1250) }],
        })
    );
    let moved = |status: &str| json!({ "number": number, "customer_id": customer_id, "status": status, "by": null, "by_hand": false });
    let with = |mut data: Value, name: &str, value: Value| {
        data[name] = value;
        data
    };
    assert_eq!(events[1]["data"], moved("processing"));
    assert_eq!(events[2]["data"], with(moved("paid"), "amount", usd(2500)));
    let parcel = &seen["shipments"][0];
    let shipments = json!([{
        "id": parcel["id"], "warehouse_id": events[3]["data"]["shipments"][0]["warehouse_id"],
        "tracking_number": parcel["tracking_number"],
    }]);
    assert!(parcel["tracking_number"].is_string());
    assert_eq!(events[3]["data"], with(moved("shipped"), "shipments", shipments));
    assert_eq!(events[4]["data"], moved("delivered"));
    let timeline = alice.get(&format!("{order}/events")).await.done(200).body;
    for (event, told) in events.iter().zip(timeline["data"].as_array().unwrap()) {
        assert_eq!(event["at"], told["at"]);
        assert_eq!(event["type"], format!("order.{}", told["type"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn orders_that_are_cancelled_say_what_became_of_the_money() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 90).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let declined = alice.order("mug", "tok_declined").await;
    let unpaid = alice.order("mug", "tok_ok").await;
    alice.post(&format!("{unpaid}/cancel"), json!({ "reason": "ordered twice" })).await.done(202);
    ManualWorker::of(&app).run().await;

    let events = about(&app, &staff, id_of(&declined)).await;
    let last = &events.last().unwrap()["data"];
    assert_eq!((&last["status"], &last["reason"]), (&json!("cancelled"), &json!("payment_declined")));
    assert_eq!(last["payment"], "declined");

    let events = about(&app, &staff, id_of(&unpaid)).await;
    assert_eq!(types(&events), ["order.placed", "order.cancelling", "order.cancelled"]);
    assert_eq!(events[1]["data"]["reason"], "ordered twice");
    assert_eq!(events[1]["data"]["by"], json!({ "id": alice.id, "name": null }));
    assert_eq!(
        (&events[2]["data"]["payment"], &events[2]["data"]["reason"]),
        (&json!("none"), &json!("ordered twice"))
    );
}

#[tokio::test]
async fn what_staff_do_has_their_name_and_a_note_has_no_text() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 90).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let order = alice.order("mug", "tok_ok").await;
    staff.post(&format!("{order}/notes"), json!({ "text": "call alice@example.com" })).await.done(201);
    staff.move_to(&order, "processing").await.done(200);
    staff.post(&format!("{order}/slips"), json!({})).await;

    let events = about(&app, &staff, id_of(&order)).await;
    assert_eq!(types(&events)[..3], ["order.placed", "order.note", "order.processing"]);
    let by = json!({ "id": staff.id, "name": "Some One" });
    assert_eq!(events[1]["data"]["by"], by);
    assert_eq!(events[1]["data"]["status"], "pending");
    assert!(!events[1].to_string().contains("alice@example.com"));
    assert_eq!((&events[2]["data"]["by"], &events[2]["data"]["by_hand"]), (&by, &json!(true)));
}

#[tokio::test]
async fn products_are_told_of_as_they_are_then() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let new = json!({ "sku": "MUG", "name": "Mug", "price": { "amount": 1200, "currency": "USD" } });
    let made = staff.post("/v1/products", new).await.done(201);
    let path = format!("/v1/products/{}", made.id());
    staff.patch(&path, json!({ "price": { "amount": 1100, "currency": "USD" }, "name": "Mug" })).await.done(200);
    staff.patch(&path, json!({ "price": { "amount": 1100, "currency": "USD" } })).await.done(200);
    staff.delete(&path).await.done(204);
    staff.delete(&path).await.done(204);

    let events = about(&app, &staff, made.id()).await;
    assert_eq!(types(&events), ["product.created", "product.changed", "product.changed"]);
    let facts = |amount: i64, active: bool, changed: &[&str]| {
        json!({
            "sku": "MUG", "name": "Mug", "price": { "amount": amount, "currency": "USD" }, "active": active,
            "changed": changed,
        })
    };
    assert_eq!(events[0]["data"], facts(1200, true, &[]));
    assert_eq!(events[1]["data"], facts(1100, true, &["price"]));
    assert_eq!(events[2]["data"], facts(1100, false, &["active"]));
}

#[tokio::test]
async fn stock_is_told_to_be_low_once_and_again_after_it_was_above() {
    let app = TestApp::new().await;
    let mug = app.bare_product("mug", 1250).await;
    let warehouse = app.warehouse("MAIN", 1).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let row = json!({ "product_id": mug, "warehouse_id": warehouse, "on_hand": 9, "reorder_level": 5 });
    let made = staff.post("/v1/inventory", row).await.done(201);
    let adjust = async |delta: i32, reason: &str| {
        let path = format!("/v1/inventory/{}/adjustments", made.id());
        staff.post(&path, json!({ "delta": delta, "reason": reason })).await.done(201);
    };
    let first = alice.order("mug", "tok_ok").await; // 7 are left
    let second = alice.order("mug", "tok_ok").await; // 5: low
    let _third = alice.order("mug", "tok_ok").await; // 3: still low
    for order in [&first, &second] {
        alice.cancel(order).await.done(202);
    }
    ManualWorker::of(&app).run().await; // 7 again
    let _fourth = alice.order("mug", "tok_ok").await; // 5: low again
    adjust(10, "received").await;
    adjust(-12, "damaged").await; // 3: low again

    let events = about(&app, &staff, made.id()).await;
    assert_eq!(
        types(&events),
        ["stock.adjusted", "stock.low", "stock.low", "stock.adjusted", "stock.adjusted", "stock.low"]
    );
    let facts = |on_hand: i64, reserved: i64| {
        json!({
            "product_id": mug, "sku": "mug", "warehouse_id": warehouse, "on_hand": on_hand, "reserved": reserved,
            "available": on_hand - reserved,
        })
    };
    let merged = |mut data: Value, more: Value| {
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    assert_eq!(events[0]["data"], merged(facts(9, 0), json!({ "delta": 9, "reason": "received" })));
    assert_eq!(events[1]["data"], merged(facts(9, 4), json!({ "reorder_level": 5 })));
    assert_eq!(events[2]["data"]["available"], 5);
    assert_eq!((&events[4]["data"]["delta"], &events[4]["data"]["reason"]), (&json!(-12), &json!("damaged")));
    assert_eq!(events[5]["data"]["available"], 3);
}

#[tokio::test]
async fn counts_and_transfers_are_adjustments() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 9).await;
    app.bare_product("jug", 1250).await;
    let (east, staff) = (app.warehouse("EAST", 2).await, app.staff().await);
    app.number_events().await;
    let (_, cursor) = staff.feed(None, "").await;
    let items = json!({ "items": [
        { "sku": "mug", "warehouse": "MAIN", "quantity": 7 },
        { "sku": "jug", "warehouse": "MAIN", "quantity": 3 },
        { "sku": "jug", "warehouse": "EAST", "quantity": 0 },
    ] });
    staff.post("/v1/inventory/bulk", items).await.done(200);
    let main: Uuid =
        sqlx::query_scalar("select i.id from inventory i join products p on p.id = product_id where sku = 'mug'")
            .fetch_one(&app.db)
            .await
            .unwrap();
    let two = serde_json::from_value(json!({ "to_warehouse_id": east, "quantity": 2 })).unwrap();
    let mut tx = app.db.begin().await.unwrap();
    transfer(&mut tx, &Principal::system(), InventoryId(main), &two).await.unwrap();
    tx.commit().await.unwrap();

    app.number_events().await;
    let (events, _) = staff.feed(Some(&cursor), "types=stock.*").await;
    let told: Vec<Value> = events
        .iter()
        .map(|event| json!([event["type"], event["data"]["sku"], event["data"]["delta"], event["data"]["reason"]]))
        .collect();
    let mut counted = told[..3].to_vec();
    counted.sort_by_key(ToString::to_string);
    assert_eq!(
        counted,
        [
            json!(["stock.adjusted", "jug", 0, "counted"]),
            json!(["stock.adjusted", "jug", 3, "counted"]),
            json!(["stock.adjusted", "mug", -2, "counted"]),
        ]
    );
    let mut moved = told[3..].to_vec();
    moved.sort_by_key(ToString::to_string);
    assert_eq!(moved, [json!(["stock.adjusted", "mug", -2, "other"]), json!(["stock.adjusted", "mug", 2, "other"])]);
}
