//! What staff do at their desk: an order for somebody at the counter, slips for many, stock that moves, views that are kept.

use serde_json::json;
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;

use crate::visitor::Visitor;

#[tokio::test]
async fn an_order_placed_for_a_customer_is_theirs_and_activity_says_who_placed_it() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let customer: uuid::Uuid = sqlx::query_scalar("select id from customers where email = $1")
        .bind(&alice.email)
        .fetch_one(&app.db)
        .await
        .unwrap();
    let path = format!("/console/customers/{customer}/order");
    let mut sam = Visitor::signed_in_to_console(&app, &staff.email).await;
    let page = sam.open(&path).await.ok();
    let key = page.hidden("key");
    let form = |lines: &'static str| {
        [
            ("key", key.clone()),
            ("lines", lines.to_owned()),
            ("name", "Alice".to_owned()),
            ("line1", "1 Mill Lane".to_owned()),
            ("postal_code", "BA1 1AA".to_owned()),
            ("city", "Bath".to_owned()),
            ("country", "GB".to_owned()),
            ("payment_token", "tok_ok".to_owned()),
        ]
    };
    for (lines, status, words) in [
        ("", 422, "1 to 100 lines"),
        ("mug many", 422, "is not a number of units"),
        ("bowl 1", 422, "product"),
        ("mug 9", 409, "mug has 5 and 9 are asked for"),
    ] {
        let fields = form(lines);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let refused = sam.send(&path, &fields).await;
        assert_eq!(refused.status, status, "{lines}");
        refused.says(words).says("1 Mill Lane");
    }
    let fields = form("mug 2");
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let placed = sam.send(&path, &fields).await;
    let order = placed.location.clone().unwrap();
    sam.send(&path, &fields).await.leads_to(&order);
    assert_eq!(app.count("select count(*) from orders").await, 1);
    let own = alice.get("/v1/orders").await.done(200).body;
    assert!(order.contains(own["data"][0]["number"].as_str().unwrap()), "{own}");
    let actions = staff.get("/v1/ops/actions?action=order.placed_for").await.done(200).body;
    assert_eq!(actions["data"].as_array().unwrap().len(), 1, "{actions}");
    assert_eq!(actions["data"][0]["by"]["name"], "Some One");
    sam.open("/console/activity").await.ok().says("Order placed for");
}

#[tokio::test]
async fn slips_of_many_orders_are_printed_together() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 10).await;
    let alice = app.customer().await;
    for _ in 0..3 {
        alice.order("mug", "tok_ok").await;
    }
    let mut sam = Visitor::signed_in_to_console(&app, &app.staff().await.email).await;
    sam.open("/console/orders?status=pending").await.ok().says("/console/slips?status=pending");
    let slips = sam.open("/console/slips?status=pending").await.ok();
    slips.says("3 sheets of 3 orders").does_not_say("$12.50");
    let fields = ["key", "numbers", "from"].map(|name| (name, slips.hidden(name)));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let back = "/console/slips?status=pending&done=printed";
    sam.send("/console/slips", &fields).await.leads_to(back);
    sam.send("/console/slips", &fields).await.leads_to(back);
    assert_eq!(app.count("select count(*) from order_events where type = 'slip_printed'").await, 3);
    sam.open("/console/slips?status=cancelled").await.ok().says("Nothing to pack");
    let elsewhere = sam.send("/console/slips", &[("numbers", fields[1].1), ("from", "https://evil.test/")]).await;
    elsewhere.leads_to("/console/orders?done=printed");
}

#[tokio::test]
async fn units_move_between_warehouses_and_reserved_ones_stay() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 10).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    alice.place(json!([{ "sku": "mug", "quantity": 4 }])).await.done(201);
    let west = staff.post("/v1/warehouses", json!({ "code": "WEST", "name": "Reno", "priority": 9 })).await.done(201);
    let west = west.id();
    let mut sam = Visitor::signed_in_to_console(&app, &staff.email).await;
    let page = sam.open("/console/stock/mug").await.ok();
    page.says("Transfer").says("Reno (WEST)");
    let row = page.hidden("row");
    let path = "/console/stock/mug/transfer";
    let ask = |quantity: &'static str, key: &'static str| {
        [("key", key), ("row", &*row), ("to", &*west), ("quantity", quantity), ("note", "nearly out")]
    };
    let too_many = sam.send(path, &ask("7", "a")).await;
    assert_eq!(too_many.status, 409);
    for key in ["b", "b"] {
        sam.send(path, &ask("6", key)).await.leads_to("/console/stock/mug?done=changed");
    }
    sam.open("/console/stock/mug").await.ok().says("nearly out").says("WEST");
    let on_hand = "select on_hand::bigint from inventory i join warehouses w on w.id = i.warehouse_id
                    where w.code = 'WEST'";
    assert_eq!(app.count(on_hand).await, 6);
    assert_eq!(app.count("select count(*) from stock_movements where note = 'nearly out'").await, 2);
    let route = format!("/v1/inventory/{row}/transfers");
    let nowhere = uuid::Uuid::nil();
    staff.post(&route, json!({ "to_warehouse_id": nowhere, "quantity": 1 })).await.refused(404, "warehouse_not_found");
    staff.post(&route, json!({ "to_warehouse_id": west, "quantity": 1 })).await.refused(409, "would_go_negative");
    let here: uuid::Uuid = sqlx::query_scalar("select warehouse_id from inventory where id = $1::uuid")
        .bind(&row)
        .fetch_one(&app.db)
        .await
        .unwrap();
    staff.post(&route, json!({ "to_warehouse_id": here, "quantity": 1 })).await.refused(422, "same_warehouse");
    staff.post(&route, json!({ "to_warehouse_id": west, "quantity": 0 })).await.refused(422, "invalid_quantity");
    alice.post(&route, json!({ "to_warehouse_id": west, "quantity": 1 })).await.refused(403, "forbidden");
}

#[tokio::test]
async fn a_view_is_kept_under_its_name_for_its_owner_alone() {
    let app = TestApp::new().await;
    let (staff, other) = (app.staff().await, app.staff().await);
    let mut sam = Visitor::signed_in_to_console(&app, &staff.email).await;
    sam.open("/console/orders").await.ok().does_not_say("Save this view");
    let here = "/console/orders?next_by=staff&oldest=on";
    let page = sam.open(here).await.ok();
    page.says("Save this view");
    let form = [("key", &*page.hidden("key")), ("path", here), ("name", "Mine, oldest first")];
    sam.send("/console/views", &form).await.leads_to(&format!("{here}&done=saved"));
    sam.open("/console/me").await.ok().says("Mine, oldest first").says("next_by=staff&amp;oldest=on");
    let views = staff.get("/v1/ops/views").await.done(200).body;
    let id = views["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(other.get("/v1/ops/views").await.done(200).body["data"], json!([]));
    other.delete(&format!("/v1/ops/views/{id}")).await.refused(404, "view_not_found");
    for path in ["https://evil.test/", "//evil.test/console", "/consoles", "/console/\u{2603}", "/orders"] {
        staff.post("/v1/ops/views", json!({ "name": "x", "path": path })).await.refused(422, "invalid_path");
    }
    let again = json!({ "name": "Mine, oldest first", "path": "/console/inbox" });
    staff.post("/v1/ops/views", again).await.done(201);
    assert_eq!(app.count("select count(*) from saved_views").await, 1);
    sam.send(&format!("/console/views/{id}/delete"), &[]).await.leads_to("/console/me?done=deleted");
    assert_eq!(app.count("select count(*) from saved_views").await, 0);
    app.customer().await.get("/v1/ops/views").await.refused(403, "forbidden");
}

#[tokio::test]
async fn failures_show_their_last_day_and_the_audit_its_last_month() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 10).await;
    app.customer().await.order("mug", "tok_flaky_8").await;
    ManualWorker::of(&app).run().await;
    let mut sam = Visitor::signed_in_to_console(&app, &app.staff().await.email).await;
    sam.open("/console/failures").await.ok().says("8 failed attempts in 24 hours");
    let run = "insert into audit_runs (ran_at, violations, invariants) values
               (now() - interval '2 days', 0, '[]'), (now() - interval '1 day', 3, '[]')";
    sqlx::raw_sql(run).execute(&app.db).await.unwrap();
    let audit = sam.open("/console/audit").await.ok();
    audit.says("A promise was broken on 1 of").says("3 violations").says("nobody looked");
}
