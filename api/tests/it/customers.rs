//! Customers, as staff use them.

use reqwest::Method;
use serde_json::{Value, json};

use testkit::app::{PASSWORD, TestApp};

#[tokio::test]
async fn staff_add_read_and_change_a_customer() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let address = json!({ "line1": "1 Mill Lane", "city": "Bath", "country": "GB" });
    let body = json!({ "email": "Alice@Example.com", "name": "Alice", "phone": "+44 1225 1", "addresses": [address] });
    let alice = staff.post("/v1/customers", body).await.done(201);
    let path = alice.header("location");
    assert_eq!((&alice.body["user_id"], &alice.body["addresses"]), (&Value::Null, &json!([address])));
    assert_eq!(staff.get(path).await.done(200).body, alice.body);

    let changed = staff.patch(path, json!({ "name": "Alice Archer", "phone": null })).await.done(200);
    assert_eq!((&changed.body["name"], &changed.body["phone"]), (&json!("Alice Archer"), &Value::Null));
    assert_eq!((&changed.body["addresses"], &changed.body["email"]), (&json!([address]), &json!("Alice@Example.com")));
    let stale = [("if-match", alice.header("etag"))];
    staff.send(Method::PATCH, path, Some(json!({ "name": "X" })), &stale).await.refused(412, "version_mismatch");
    assert_eq!(staff.get(path).await.body, changed.body);

    let plain = staff.post("/v1/customers", json!({ "email": "bob@example.com", "name": "Bob" })).await.done(201);
    assert_eq!((&plain.body["addresses"], &plain.body["phone"]), (&json!([]), &Value::Null));
    let nobody = "/v1/customers/019a4f6e-8d40-7b02-a1c5-6e0f3d9b2c48";
    staff.get(nobody).await.refused(404, "customer_not_found");
    staff.patch(nobody, json!({ "name": "X" })).await.refused(404, "customer_not_found");
}

#[tokio::test]
async fn customers_are_listed_by_page_and_found_by_email() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    for name in ["alice", "bob", "carol"] {
        let body = json!({ "email": format!("{name}@example.com"), "name": name });
        staff.post("/v1/customers", body).await.done(201);
    }
    let mut names = Vec::new();
    let mut path = "/v1/customers?limit=2".to_owned();
    loop {
        let page = staff.get(&path).await.done(200);
        names.extend(page.body["data"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap().to_owned()));
        match page.body["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/customers?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(names, ["Some One", "alice", "bob", "carol"], "with the staff's own");

    let found = staff.get("/v1/customers?email=BOB@example.com").await.done(200);
    assert_eq!(found.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(found.body["data"][0]["name"], "bob");
    assert_eq!(staff.get("/v1/customers?email=dave@example.com").await.body["data"], json!([]));
    staff.get("/v1/customers?email=bob").await.refused(422, "invalid_email");
    for (q, expected) in [("ARO", json!(["carol"])), ("bo", json!(["bob"])), ("ro", json!([])), ("b%25", json!([]))] {
        let found = staff.get(&format!("/v1/customers?q={q}")).await.done(200);
        let names: Vec<_> = found.body["data"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
        assert_eq!(json!(names), expected, "{q}");
    }
    staff.get("/v1/customers?name=bob").await.refused(422, "unknown_field");
}

#[tokio::test]
async fn what_a_customer_cannot_be_is_refused_by_field() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let address = json!({ "city": "Bath" });
    for (change, code, field) in [
        (json!({ "email": "alice" }), "invalid_email", "email"),
        (json!({ "name": " " }), "invalid_name", "name"),
        (json!({ "phone": "1" }), "invalid_phone", "phone"),
        (json!({ "addresses": [address, {}] }), "invalid_address", "addresses[1]"),
        (json!({ "addresses": vec![address; 21] }), "too_many_addresses", "addresses"),
        (json!({ "vip": true }), "unknown_field", "vip"),
    ] {
        let mut body = json!({ "email": "alice@example.com", "name": "Alice" });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let reply = staff.post("/v1/customers", body).await;
        reply.refused(422, code);
        assert_eq!(reply.body["errors"][0]["field"], field);
    }
    assert_eq!(staff.get("/v1/customers?email=alice@example.com").await.body["data"], json!([]));
}

#[tokio::test]
async fn a_customer_is_linked_to_an_account_by_staff_only() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let body = json!({ "email": "alice@example.com", "name": "Alice" });
    let kept = staff.post("/v1/customers", body).await.done(201);
    let body = json!({ "email": "alice@example.com", "password": PASSWORD, "name": "Alice" });
    let user = app.anyone().post("/v1/auth/register", body).await.done(201);

    // Registration does not prove that the user owns the address, so the account gets a new customer.
    assert_eq!(staff.get(kept.header("location")).await.body["user_id"], Value::Null);
    let list = staff.get("/v1/customers?email=alice@example.com").await.done(200);
    assert_eq!(list.body["data"].as_array().unwrap().len(), 2);
    assert_eq!(list.body["data"][1]["user_id"], user.body["id"]);

    let linked = staff.patch(kept.header("location"), json!({ "user_id": user.id() })).await.done(200);
    assert_eq!(linked.body["user_id"], user.body["id"]);
    let nobody = json!({ "user_id": "019a4f6e-9e10-7f63-b2d4-1c8a5e7f0a93" });
    let reply = staff.patch(kept.header("location"), nobody).await;
    reply.refused(422, "user_not_found");
    assert_eq!(reply.body["errors"][0]["field"], "user_id");
    let freed = staff.patch(kept.header("location"), json!({ "user_id": null })).await.done(200);
    assert_eq!(freed.body["user_id"], Value::Null);
}

#[tokio::test]
async fn the_only_customer_of_an_account_stays_with_it() {
    let app = TestApp::new().await;
    let (staff, alice) = (app.staff().await, app.customer().await);
    let own = staff.get(&format!("/v1/customers?email={}", alice.email)).await.done(200).body["data"][0].clone();
    let path = format!("/v1/customers/{}", own["id"].as_str().unwrap());
    for user_id in [json!(null), json!(staff.id)] {
        staff.patch(&path, json!({ "user_id": user_id })).await.refused(422, "last_customer");
    }
    assert_eq!(staff.get(&path).await.body, own);
    staff.patch(&path, json!({ "user_id": alice.id })).await.done(200);
}

#[tokio::test]
async fn customers_do_not_see_customers() {
    let app = TestApp::new().await;
    let (staff, alice) = (app.staff().await, app.customer().await);
    let body = json!({ "email": "bob@example.com", "name": "Bob" });
    let bob = staff.post("/v1/customers", body.clone()).await.done(201);
    alice.get("/v1/customers").await.refused(403, "forbidden");
    alice.get(bob.header("location")).await.refused(403, "forbidden");
    alice.post("/v1/customers", body).await.refused(403, "forbidden");
    alice.patch(bob.header("location"), json!({ "user_id": alice.id })).await.refused(403, "forbidden");
    app.anyone().get("/v1/customers").await.refused(401, "unauthenticated");
    assert_eq!(staff.get(bob.header("location")).await.body, bob.body);
}
