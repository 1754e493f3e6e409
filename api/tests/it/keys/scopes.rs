//! What scopes open beyond a whole route, and in which order refusals come.

use serde_json::{Value, json};
use testkit::app::TestApp;

use super::{ALL, program};

#[tokio::test]
async fn a_missing_scope_is_told_before_the_body_is_judged() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let robot = program(&app, &admin, &["orders:read"]).await;
    for (path, needed) in [
        ("/v1/orders", "orders:write"),
        ("/v1/products", "catalog:write"),
        ("/v1/inventory/reserve", "inventory:write"),
        ("/v1/customers", "customers:write"),
        ("/v1/ops/bulk", "ops:write"),
    ] {
        let refused = robot.post(path, json!({ "nonsense": 1 })).await;
        refused.refused(403, "insufficient_scope");
        assert_eq!(refused.body["needed"], json!([needed]), "{path}");
    }
    let everything = program(&app, &admin, &ALL).await;
    everything.post("/v1/users", json!({ "nonsense": 1 })).await.refused(403, "forbidden");
    everything.post("/v1/service-accounts", json!({ "name": "mine" })).await.refused(403, "forbidden");
    everything.get("/v1/search?q=mug").await.refused(403, "forbidden");
    everything.get("/v1/api-keys").await.refused(403, "forbidden");
    assert_eq!(app.count("select count(*) from service_accounts").await, 2);
}

#[tokio::test]
async fn orders_cancel_alone_cancels_and_moves_nothing_else() {
    let app = TestApp::new().await;
    let (admin, alice) = (app.admin().await, app.customer().await);
    app.product("mug", 1200, 9).await;
    let (first, second) = (alice.order("mug", "tok_ok").await, alice.order("mug", "tok_ok").await);
    let canceller = program(&app, &admin, &["orders:cancel"]).await;

    let refused = canceller.move_to(&first, "paid").await;
    refused.refused(403, "insufficient_scope");
    assert_eq!(refused.body["needed"], json!(["orders:write"]));
    let nonsense = json!({ "status": "paid", "nonsense": 1 });
    canceller.patch(&format!("{first}/status"), nonsense).await.refused(403, "insufficient_scope");
    canceller.get(&first).await.refused(403, "insufficient_scope");
    assert_eq!(alice.see(&first).await["status"], "pending");

    assert_eq!(canceller.move_to(&first, "cancelled").await.done(200).body["status"], "cancelling");
    assert_eq!(canceller.cancel(&second).await.done(202).body["status"], "cancelling");
    let reader = program(&app, &admin, &["orders:read"]).await;
    reader.cancel(&first).await.refused(403, "insufficient_scope");
    let writer = program(&app, &admin, &["orders:write"]).await;
    writer.cancel(&first).await.refused(403, "insufficient_scope");
}

#[tokio::test]
async fn cancelling_many_needs_the_scope_for_one() {
    let app = TestApp::new().await;
    let (admin, alice) = (app.admin().await, app.customer().await);
    app.product("mug", 1200, 9).await;
    alice.order("mug", "tok_ok").await;
    let body = json!({ "action": "cancel_orders", "filter": { "status": "pending" } });
    let half = program(&app, &admin, &["ops:write"]).await;
    for body in [body.clone(), json!({ "action": "cancel_orders", "nonsense": 1 })] {
        let refused = half.post("/v1/ops/bulk", body).await;
        refused.refused(403, "insufficient_scope");
        assert_eq!(refused.body["needed"], json!(["ops:write", "orders:cancel"]));
    }
    half.post("/v1/ops/bulk", json!({ "action": "retry", "filter": {}, "dry_run": true })).await.done(200);
    assert_eq!(app.count("select count(*) from bulk_actions").await, 0);

    let whole = program(&app, &admin, &["ops:write", "orders:cancel"]).await;
    let started = whole.post("/v1/ops/bulk", body).await.done(202);
    let path = format!("/v1/ops/bulk/{}", started.id());
    half.post(&format!("{path}/stop"), json!({})).await.done(200);
    half.post(&format!("{path}/continue"), json!({})).await.refused(403, "insufficient_scope");
    assert_eq!(half.get(&path).await.body["state"], "stopped");
    whole.post(&format!("{path}/continue"), json!({})).await.done(200);
}

#[tokio::test]
async fn orders_come_without_their_customer_unless_the_key_may_read_customers() {
    let app = TestApp::new().await;
    let (admin, alice) = (app.admin().await, app.customer().await);
    app.product("mug", 1200, 9).await;
    let order = alice.order("mug", "tok_ok").await;
    let without = program(&app, &admin, &["orders:write"]).await;
    let with = program(&app, &admin, &["orders:read", "customers:read"]).await;
    for path in [order.clone(), format!("{order}?as_of={}", "2099-01-01T00:00:00Z")] {
        assert_eq!(without.get(&path).await.done(200).body["customer"], Value::Null, "{path}");
        assert_eq!(with.get(&path).await.done(200).body["customer"]["email"], alice.email, "{path}");
    }
    for path in ["/v1/orders", "/v1/orders?sku=mug", "/v1/orders?min_total=1"] {
        assert_eq!(without.get(path).await.done(200).body["data"][0]["customer"], Value::Null, "{path}");
        assert_eq!(with.get(path).await.done(200).body["data"][0]["customer"]["email"], alice.email, "{path}");
    }
}

#[tokio::test]
async fn scopes_show_what_staff_see_of_public_routes() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let mug = app.product("mug", 1200, 9).await;
    let path = format!("/v1/inventory/onhand?product_id={mug}");
    let stock = program(&app, &admin, &["inventory:read"]).await;
    let orders = program(&app, &admin, &["orders:read"]).await;
    assert_eq!(stock.get(&path).await.done(200).body["on_hand"], 9);
    assert_eq!(orders.get(&path).await.done(200).body["on_hand"], Value::Null);
    orders.get("/v1/products?active=false").await.refused(403, "insufficient_scope");
    let catalog = program(&app, &admin, &["catalog:write"]).await;
    catalog.get("/v1/products?active=false").await.done(200);
}

#[tokio::test]
async fn a_key_has_views_and_reservations_like_a_person() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let mug = app.product("mug", 1200, 9).await;
    let robot = program(&app, &admin, &["inventory:write", "ops:write"]).await;
    let held = robot.post("/v1/inventory/reserve", json!({ "items": [{ "product_id": mug, "quantity": 2 }] })).await;
    let held = held.done(201);
    robot.post("/v1/inventory/release", json!({ "reservation_id": held.id() })).await.done(200);
    robot.post("/v1/ops/views", json!({ "name": "mine", "path": "/console/orders" })).await.done(201);
    assert_eq!(robot.get("/v1/ops/views").await.done(200).body["data"][0]["name"], "mine");
    assert_eq!(admin.get("/v1/ops/views").await.done(200).body["data"], json!([]));
}
