//! `/v1/categories`.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::app::TestApp;

use super::{count, usd};

#[tokio::test]
async fn categories_are_added_renamed_moved_and_removed() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let table = staff.post("/v1/categories", json!({ "name": "Table" })).await.done(201);
    let body = json!({ "name": "Mugs", "parent_id": table.id() });
    let mugs = staff.post("/v1/categories", body).await.done(201);
    assert_eq!(mugs.body["parent_id"], table.body["id"]);
    let path = mugs.header("location");
    assert_eq!(app.anyone().get(path).await.done(200).body, mugs.body);
    let list = app.anyone().get("/v1/categories").await.done(200);
    assert_eq!(list.body, json!({ "data": [table.body, mugs.body], "next_cursor": null }));

    let moved = staff.patch(path, json!({ "name": "Cups", "parent_id": null })).await.done(200);
    assert_eq!((&moved.body["name"], &moved.body["parent_id"]), (&json!("Cups"), &Value::Null));
    let stale = [("if-match", mugs.header("etag"))];
    staff.send(Method::PATCH, path, Some(json!({ "name": "X" })), &stale).await.refused(412, "version_mismatch");
    staff.send(Method::DELETE, path, None, &stale).await.refused(412, "version_mismatch");
    assert_eq!(staff.get(path).await.body, moved.body);

    staff.delete(path).await.done(204);
    staff.get(path).await.refused(404, "category_not_found");
    staff.delete(path).await.refused(404, "category_not_found");
    staff.patch(path, json!({ "name": "X" })).await.refused(404, "category_not_found");
}

#[tokio::test]
async fn a_category_name_is_taken_once_and_its_parent_exists() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    staff.post("/v1/categories", json!({ "name": "Table" })).await.done(201);
    let mugs = staff.post("/v1/categories", json!({ "name": "Mugs" })).await.done(201);
    let nowhere = json!({ "name": "Cups", "parent_id": "019a4f6e-6f00-7a51-9b1e-0c7d2f4a8e11" });
    staff.post("/v1/categories", json!({ "name": "Table" })).await.refused(409, "category_name_taken");
    staff.patch(mugs.header("location"), json!({ "name": "Table" })).await.refused(409, "category_name_taken");
    staff.post("/v1/categories", nowhere.clone()).await.refused(422, "category_not_found");
    staff.patch(mugs.header("location"), nowhere).await.refused(422, "category_not_found");
    assert_eq!(count(&app.db, "categories").await, 2);
    assert_eq!(staff.get(mugs.header("location")).await.body, mugs.body);
}

#[tokio::test]
async fn categories_never_form_a_circle() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let mut path = Vec::new();
    let mut parent = Value::Null;
    for name in ["A", "B", "C"] {
        let made = staff.post("/v1/categories", json!({ "name": name, "parent_id": parent })).await.done(201);
        parent = made.body["id"].clone();
        path.push(made);
    }
    for below in &path {
        let body = json!({ "parent_id": below.id() });
        let reply = staff.patch(path[0].header("location"), body).await;
        reply.refused(422, "category_cycle");
        assert_eq!(reply.body["errors"][0]["field"], "parent_id");
    }
    assert_eq!(staff.get(path[0].header("location")).await.body, path[0].body);

    // Two moves at once. Each is valid alone, together they form a cycle, so exactly one succeeds.
    let [x, y] = ["X", "Y"].map(|name| staff.post("/v1/categories", json!({ "name": name })));
    let (x, y) = (x.await.done(201), y.await.done(201));
    let (one, other) = tokio::join!(
        staff.patch(x.header("location"), json!({ "parent_id": y.id() })),
        staff.patch(y.header("location"), json!({ "parent_id": x.id() })),
    );
    let won = [&one, &other].into_iter().filter(|reply| reply.status == StatusCode::OK).count();
    assert_eq!(won, 1, "{one:?} {other:?}");
}

#[tokio::test]
async fn a_category_with_something_in_it_is_not_removed() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let table = staff.post("/v1/categories", json!({ "name": "Table" })).await.done(201);
    let body = json!({ "name": "Mugs", "parent_id": table.id() });
    let mugs = staff.post("/v1/categories", body).await.done(201);
    let body = json!({ "sku": "MUG", "name": "Mug", "price": usd(1200), "category_id": mugs.id() });
    let product = staff.post("/v1/products", body).await.done(201);

    staff.delete(table.header("location")).await.refused(409, "category_in_use");
    staff.delete(mugs.header("location")).await.refused(409, "category_in_use");
    assert_eq!(count(&app.db, "categories").await, 2);

    staff.patch(product.header("location"), json!({ "category_id": null })).await.done(200);
    staff.delete(mugs.header("location")).await.done(204);
    staff.delete(table.header("location")).await.done(204);
}
