//! Warehouses.

use reqwest::Method;
use serde_json::json;

use testkit::app::TestApp;

#[tokio::test]
async fn staff_add_list_and_change_warehouses() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let body = json!({ "code": "EAST", "name": "Harrisburg", "priority": 1, "active": true });
    let east = staff.post("/v1/warehouses", body).await.done(201);
    let west = staff.post("/v1/warehouses", json!({ "code": "WEST", "name": "Reno" })).await.done(201);
    assert_eq!((&east.body["priority"], &west.body["priority"]), (&json!(1), &json!(100)));
    assert_eq!(west.body["active"], true);
    assert_eq!(staff.get(east.header("location")).await.done(200).body, east.body);
    let list = staff.get("/v1/warehouses").await.done(200);
    assert_eq!(list.body, json!({ "data": [east.body, west.body], "next_cursor": null }));

    let path = east.header("location");
    let changed = staff.patch(path, json!({ "priority": 3, "active": false })).await.done(200);
    assert_eq!((&changed.body["priority"], &changed.body["active"]), (&json!(3), &json!(false)));
    assert_eq!(changed.body["code"], "EAST");
    let stale = [("if-match", east.header("etag"))];
    staff.send(Method::PATCH, path, Some(json!({ "priority": 4 })), &stale).await.refused(412, "version_mismatch");
    assert_eq!(staff.get(path).await.body, changed.body);
}

#[tokio::test]
async fn a_warehouse_code_is_taken_once() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let body = json!({ "code": "EAST", "name": "Harrisburg", "priority": 1 });
    staff.post("/v1/warehouses", body.clone()).await.done(201);
    let west = staff.post("/v1/warehouses", json!({ "code": "WEST", "name": "Reno" })).await.done(201);
    staff.post("/v1/warehouses", body).await.refused(409, "warehouse_code_taken");
    staff.patch(west.header("location"), json!({ "code": "EAST" })).await.refused(409, "warehouse_code_taken");
    let list = staff.get("/v1/warehouses").await;
    assert_eq!(list.body["data"].as_array().unwrap().len(), 2);
    assert_eq!(list.body["data"][1], west.body);
}

#[tokio::test]
async fn what_a_warehouse_cannot_be_is_refused() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    for (body, code) in [
        (json!({ "code": "", "name": "Reno" }), "invalid_code"),
        (json!({ "code": "WEST" }), "missing_field"),
        (json!({ "code": "WEST", "name": "Reno", "priority": 1.5 }), "invalid_value"),
        (json!({ "code": "WEST", "name": "Reno", "priority": 3_000_000_000_i64 }), "invalid_value"),
        (json!({ "code": "WEST", "name": "Reno", "city": "Reno" }), "unknown_field"),
    ] {
        staff.post("/v1/warehouses", body).await.refused(422, code);
    }
    assert_eq!(staff.get("/v1/warehouses").await.body["data"], json!([]));
    let nowhere = "/v1/warehouses/019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d05";
    staff.get(nowhere).await.refused(404, "warehouse_not_found");
    staff.patch(nowhere, json!({ "priority": 1 })).await.refused(404, "warehouse_not_found");
}

#[tokio::test]
async fn customers_see_no_warehouses() {
    let app = TestApp::new().await;
    let (staff, customer) = (app.staff().await, app.customer().await);
    let body = json!({ "code": "EAST", "name": "Harrisburg" });
    let path = staff.post("/v1/warehouses", body.clone()).await.done(201).header("location").to_owned();
    customer.get("/v1/warehouses").await.refused(403, "forbidden");
    customer.get(&path).await.refused(403, "forbidden");
    customer.post("/v1/warehouses", body).await.refused(403, "forbidden");
    customer.patch(&path, json!({ "active": false })).await.refused(403, "forbidden");
    app.anyone().get("/v1/warehouses").await.refused(401, "unauthenticated");
    assert_eq!(staff.get(&path).await.body["active"], true);
}
