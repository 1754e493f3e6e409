//! `/v1/products`.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::app::TestApp;
use testkit::person::Person;

use super::{add, count, usd};

/// The SKUs of a list, over all its pages.
async fn skus(person: &Person<'_>, query: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = person.get(&format!("/v1/products?{query}{cursor}")).await.done(200);
        let data = page.body["data"].as_array().unwrap();
        found.extend(data.iter().map(|product| product["sku"].as_str().unwrap().to_owned()));
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

#[tokio::test]
async fn staff_add_a_product_and_anybody_reads_it() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let category = staff.post("/v1/categories", json!({ "name": "Mugs" })).await.done(201);
    let dimensions = json!({ "length": 120, "width": 90, "height": 100 });
    let made = staff
        .post(
            "/v1/products",
            json!({
                "sku": "MUG", "name": "Mug", "description": "Holds 300 ml.", "price": usd(1200),
                "category_id": category.id(), "weight_grams": 350, "dimensions_mm": dimensions,
            }),
        )
        .await
        .done(201);

    assert_eq!(made.header("location"), format!("/v1/products/{}", made.id()));
    let read = app.anyone().get(made.header("location")).await.done(200);
    assert_eq!(read.body, made.body);
    assert_eq!(read.header("etag"), made.header("etag"));
    for (field, value) in [
        ("sku", json!("MUG")),
        ("name", json!("Mug")),
        ("description", json!("Holds 300 ml.")),
        ("price", usd(1200)),
        ("category_id", category.body["id"].clone()),
        ("weight_grams", json!(350)),
        ("dimensions_mm", dimensions),
        ("active", json!(true)),
        ("available", json!(0)),
    ] {
        assert_eq!(read.body[field], value, "{field}");
    }
    app.anyone().get("/v1/products/019a4f6e-7a3c-7d10-8c2b-3f5a1e9d0b77").await.refused(404, "product_not_found");
    app.anyone().get("/v1/products/nonsense").await.refused(404, "not_found");
}

#[tokio::test]
async fn only_staff_change_the_catalog() {
    let app = TestApp::new().await;
    let (staff, customer) = (app.staff().await, app.customer().await);
    let product = add(&staff, "MUG", "Mug", 1200).await.header("location").to_owned();
    let category =
        staff.post("/v1/categories", json!({ "name": "Mugs" })).await.done(201).header("location").to_owned();
    let body = json!({ "sku": "CUP", "name": "Cup", "price": usd(1) });
    for (method, path, body) in [
        (Method::POST, "/v1/products", Some(body.clone())),
        (Method::PUT, &product, Some(body)),
        (Method::PATCH, &product, Some(json!({ "name": "Cup" }))),
        (Method::DELETE, &product, None),
        (Method::POST, "/v1/categories", Some(json!({ "name": "Cups" }))),
        (Method::PATCH, &category, Some(json!({ "name": "Cups" }))),
        (Method::DELETE, &category, None),
    ] {
        app.anyone().send(method.clone(), path, body.clone(), &[]).await.refused(401, "unauthenticated");
        customer.send(method, path, body, &[]).await.refused(403, "forbidden");
    }
    assert_eq!(customer.get(&product).await.body["name"], "Mug");
    assert_eq!((count(&app.db, "products").await, count(&app.db, "categories").await), (1, 1));
}

#[tokio::test]
async fn a_sku_is_taken_once() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    add(&staff, "MUG", "Mug", 1200).await;
    let cup = add(&staff, "CUP", "Cup", 900).await.header("location").to_owned();

    let body = json!({ "sku": "MUG", "name": "Another", "price": usd(1) });
    staff.post("/v1/products", body.clone()).await.refused(409, "sku_taken");
    staff.put(&cup, body).await.refused(409, "sku_taken");
    staff.patch(&cup, json!({ "sku": "MUG" })).await.refused(409, "sku_taken");
    assert_eq!(staff.get(&cup).await.body["sku"], "CUP");
    assert_eq!(skus(&staff, "").await, ["MUG", "CUP"]);
}

#[tokio::test]
async fn a_product_is_made_once_per_idempotency_key() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let body = json!({ "sku": "MUG", "name": "Mug", "price": usd(1200) });
    let first = staff.post_with_key("/v1/products", "k", body.clone()).await.done(201);
    let again = staff.post_with_key("/v1/products", "k", body).await.done(201);
    assert_eq!((again.body, again.headers["location"].clone()), (first.body, first.headers["location"].clone()));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(count(&app.db, "products").await, 1);
}

#[tokio::test]
async fn what_a_product_cannot_be_is_refused_by_field() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let nowhere = "019a4f6e-6f00-7a51-9b1e-0c7d2f4a8e11";
    let there = add(&staff, "MUG", "Mug", 1200).await.header("location").to_owned();
    for (change, code, field) in [
        (json!({ "sku": "" }), "invalid_sku", "sku"),
        (json!({ "name": "x".repeat(201) }), "invalid_name", "name"),
        (json!({ "price": usd(-1) }), "invalid_amount", "price.amount"),
        (json!({ "price": { "amount": 1, "currency": "dollars" } }), "invalid_currency", "price.currency"),
        (json!({ "price": { "amount": 1.5, "currency": "USD" } }), "invalid_value", "price.amount"),
        (json!({ "weight_grams": -1 }), "invalid_measure", "weight_grams"),
        (json!({ "dimensions_mm": { "length": 1, "width": 2 } }), "missing_field", "dimensions_mm.height"),
        (
            json!({ "dimensions_mm": { "length": 1, "width": 2, "height": -3 } }),
            "invalid_measure",
            "dimensions_mm.height",
        ),
        (json!({ "category_id": nowhere }), "category_not_found", "category_id"),
        (json!({ "colour": "red" }), "unknown_field", "colour"),
    ] {
        let mut body = json!({ "sku": "CUP", "name": "Cup", "price": usd(900) });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        for reply in [
            staff.post("/v1/products", body.clone()).await,
            staff.put(&there, body).await,
            staff.patch(&there, change).await,
        ] {
            reply.refused(422, code);
            assert_eq!(reply.body["errors"][0]["field"], field);
        }
    }
    staff.post("/v1/products", json!({ "sku": "CUP", "name": "Cup" })).await.refused(422, "missing_field");
    assert_eq!(skus(&staff, "").await, ["MUG"]);
    assert_eq!(staff.get(&there).await.body["version"], 1);
}

#[tokio::test]
async fn put_replaces_everything_and_patch_what_is_given() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let full = json!({
        "sku": "MUG", "name": "Mug", "description": "Holds 300 ml.", "price": usd(1200), "weight_grams": 350,
        "dimensions_mm": { "length": 120, "width": 90, "height": 100 },
    });
    let path = staff.post("/v1/products", full).await.done(201).header("location").to_owned();

    let patched = staff.patch(&path, json!({ "price": usd(1100), "weight_grams": null })).await.done(200);
    assert_eq!((&patched.body["price"], &patched.body["weight_grams"]), (&usd(1100), &Value::Null));
    assert_eq!((&patched.body["name"], &patched.body["description"]), (&json!("Mug"), &json!("Holds 300 ml.")));
    assert_eq!(patched.body["dimensions_mm"]["width"], 90);

    let put = staff.put(&path, json!({ "sku": "CUP", "name": "Cup", "price": usd(900) })).await.done(200);
    assert_eq!((&put.body["sku"], &put.body["description"]), (&json!("CUP"), &json!("")));
    assert_eq!(put.body["dimensions_mm"], Value::Null);
    assert_eq!(staff.get(&path).await.body, put.body);

    let nowhere = "/v1/products/019a4f6e-7a3c-7d10-8c2b-3f5a1e9d0b77";
    staff.patch(nowhere, json!({ "name": "Cup" })).await.refused(404, "product_not_found");
    staff.delete(nowhere).await.refused(404, "product_not_found");
}

#[tokio::test]
async fn a_write_based_on_a_stale_version_is_refused() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let made = add(&staff, "MUG", "Mug", 1200).await;
    let (path, first) = (made.header("location"), made.header("etag"));
    let body = json!({ "sku": "MUG", "name": "Cup", "price": usd(1200) });

    let renamed = staff.send(Method::PUT, path, Some(body.clone()), &[("if-match", first)]).await.done(200);
    assert_ne!(renamed.header("etag"), first);
    for (method, body) in
        [(Method::PUT, Some(body)), (Method::PATCH, Some(json!({ "name": "Beaker" }))), (Method::DELETE, None)]
    {
        staff.send(method, path, body, &[("if-match", first)]).await.refused(412, "version_mismatch");
    }
    assert_eq!(staff.get(path).await.body, renamed.body);
    staff.patch(path, json!({ "name": "Beaker" })).await.done(200);
}

#[tokio::test]
async fn a_deleted_product_leaves_the_list_and_stays_readable() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let path = add(&staff, "MUG", "Mug", 1200).await.header("location").to_owned();
    add(&staff, "CUP", "Cup", 900).await;

    staff.delete(&path).await.done(204);
    let shown = staff.get(&path).await.done(200).body;
    assert_eq!((&shown["active"], &shown["price"]), (&json!(false), &usd(1200)));
    // What an old order needs, and not the price of a draft.
    let public = json!({ "id": shown["id"], "sku": "MUG", "name": "Mug", "active": false });
    for person in [app.anyone(), app.customer().await] {
        assert_eq!(person.get(&path).await.done(200).body, public);
    }
    assert_eq!(skus(&app.anyone(), "").await, ["CUP"]);
    assert_eq!(skus(&staff, "active=false").await, ["MUG"]);
    app.anyone().get("/v1/products?active=false").await.refused(403, "forbidden");
    app.customer().await.get("/v1/products?active=false").await.refused(403, "forbidden");

    staff.delete(&path).await.done(204);
    assert_eq!(staff.get(&path).await.body["version"], 2, "deleting again changes nothing");
    staff.put(&path, json!({ "sku": "MUG", "name": "Mug", "price": usd(1) })).await.done(200);
    assert_eq!(staff.get(&path).await.body["active"], false, "to replace is not to bring back");
    staff.patch(&path, json!({ "active": true })).await.done(200);
    assert_eq!(skus(&app.anyone(), "active=true").await, ["MUG", "CUP"]);
}

#[tokio::test]
async fn products_are_found_by_name_sku_category_and_price() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let mugs = staff.post("/v1/categories", json!({ "name": "Mugs" })).await.done(201).id().to_owned();
    let body = json!({ "sku": "MUG-RED", "name": "Red beaker", "price": usd(1200), "category_id": mugs });
    staff.post("/v1/products", body).await.done(201);
    add(&staff, "TEA-1", "Tea, 100% green", 900).await;
    add(&staff, "TEA_2", "Darjeeling", 2500).await;
    add(&staff, "POT", r"Tea\pot", 4000).await;

    let anyone = app.anyone();
    for (query, expected) in [
        ("q=mug", &["MUG-RED"][..]),
        ("q=BEAK", &["MUG-RED"]),
        ("q=eake", &["MUG-RED"]),
        ("q=re", &["MUG-RED"]),
        ("q=ea", &[]),
        ("q=te", &["TEA-1", "TEA_2", "POT"]),
        ("q=tea", &["TEA-1", "TEA_2", "POT"]),
        ("q=0%25%20g", &["TEA-1"]),
        ("q=a_2", &["TEA_2"]),
        ("q=a%5Cp", &["POT"]),
        ("q=%25%25%25", &[]),
        ("q=", &["MUG-RED", "TEA-1", "TEA_2", "POT"]),
        (&format!("category_id={mugs}"), &["MUG-RED"]),
        ("min_price=1200", &["MUG-RED", "TEA_2", "POT"]),
        // A search by price returns the products in the order of price.
        ("max_price=1200", &["TEA-1", "MUG-RED"]),
        ("max_price=5000&q=tea&limit=2", &["TEA-1", "TEA_2", "POT"]),
        ("min_price=1000&max_price=3000&q=tea", &["TEA_2"]),
        ("min_price=3000&max_price=1000", &[]),
    ] {
        assert_eq!(skus(&anyone, query).await, expected, "{query}");
    }
    for (query, code, field) in [
        (format!("q={}", "x".repeat(101)), "invalid_search", "q"),
        ("category_id=mugs".to_owned(), "invalid_value", "category_id"),
        ("min_price=cheap".to_owned(), "invalid_value", "min_price"),
        ("active=maybe".to_owned(), "invalid_value", "active"),
        ("colour=red".to_owned(), "unknown_field", "colour"),
        ("limit=501".to_owned(), "invalid_limit", "limit"),
    ] {
        let reply = anyone.get(&format!("/v1/products?{query}")).await;
        reply.refused(422, code);
        assert_eq!(reply.body["errors"][0]["field"], field);
    }
}

#[tokio::test]
async fn pages_are_stable_while_products_are_added() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    for sku in ["A", "B", "C"] {
        add(&staff, sku, "Mug", 1200).await;
    }
    let first = staff.get("/v1/products?limit=2&q=mug").await.done(200);
    let cursor = first.body["next_cursor"].as_str().unwrap();
    add(&staff, "D", "Mug", 1200).await;
    let second = staff.get(&format!("/v1/products?limit=2&q=mug&cursor={cursor}")).await.done(200);
    let skus: Vec<&Value> = second.body["data"].as_array().unwrap().iter().map(|product| &product["sku"]).collect();
    assert_eq!(skus, ["C", "D"]);
    assert_eq!(second.body["next_cursor"], Value::Null);
    staff.get(&format!("/v1/products?limit=2&q=cup&cursor={cursor}")).await.refused(422, "invalid_cursor");
}

#[tokio::test]
async fn available_counts_active_warehouses_and_hides_the_shelves() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let path = add(&staff, "MUG", "Mug", 1200).await.header("location").to_owned();
    let product: uuid::Uuid = path.rsplit('/').next().unwrap().parse().unwrap();
    for (code, active, on_hand, reserved) in [("EAST", true, 7, 2), ("WEST", true, 3, 0), ("OLD", false, 100, 0)] {
        let body = json!({ "code": code, "name": code, "priority": 1, "active": active });
        let warehouse = staff.post("/v1/warehouses", body).await.done(201);
        app.stock(product, warehouse.id().parse().unwrap(), on_hand).await;
        if reserved > 0 {
            let line = json!({ "product_id": product, "warehouse_id": warehouse.id(), "quantity": reserved });
            staff.post("/v1/inventory/reserve", json!({ "items": [line] })).await.done(201);
        }
    }
    let one = app.anyone().get(&path).await.done(200);
    let list = app.anyone().get("/v1/products").await.done(200);
    assert_eq!((&one.body["available"], &list.body["data"][0]), (&json!(8), &one.body));
    assert!(one.body.get("on_hand").is_none() && one.body.get("reserved").is_none());
}
