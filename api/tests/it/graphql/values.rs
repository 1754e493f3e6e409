//! What queries find: the same values as in REST, in the form of the specification.

use serde_json::{Value, json};
use testkit::app::TestApp;

use super::{ask, error, found, shop};

const WHOLE: &str = "{ id number status customerId customer { id name email } shippingAddress cancelReason version
    items { productId sku name quantity unitPrice { amount currency } total { amount currency } product { sku available } }
    total { amount currency } payment { status amount { amount } manual at }
    shipments { id warehouseId status trackingNumber shippedAt deliveredAt }
    events { edges { cursor node { sequence type at data } } pageInfo { hasNextPage endCursor } }
    nextAction { what by dueAt } createdAt updatedAt }";

#[tokio::test]
async fn an_order_has_the_values_of_rest() {
    let app = TestApp::new().await;
    shop(&app, 1).await;
    let staff = app.staff().await;
    let rest = staff.get("/v1/orders").await.done(200).body["data"][0].clone();
    let (id, number) = (rest["id"].as_str().unwrap(), rest["number"].as_str().unwrap());
    for status in ["processing", "paid", "shipped"] {
        staff.patch(&format!("/v1/orders/{id}/status"), json!({ "status": status })).await.done(200);
    }
    let rest = staff.get(&format!("/v1/orders/{id}")).await.done(200).body;
    let by_id = found(&staff, &format!("{{ order(id: \"{id}\") {WHOLE} }}")).await["order"].clone();
    let by_number = found(&staff, &format!("{{ order(number: \"{number}\") {WHOLE} }}")).await["order"].clone();
    assert_eq!(by_id, by_number);
    for (ours, theirs) in [
        ("id", "id"),
        ("number", "number"),
        ("customerId", "customer_id"),
        ("customer", "customer"),
        ("version", "version"),
        ("shippingAddress", "shipping_address"),
        ("cancelReason", "cancel_reason"),
        ("total", "total"),
        ("createdAt", "created_at"),
        ("updatedAt", "updated_at"),
    ] {
        assert_eq!(by_id[ours], rest[theirs], "{ours}");
    }
    assert_eq!(by_id["status"], "SHIPPED");
    assert_eq!(by_id["payment"]["status"], "CHARGED");
    assert_eq!(
        (&by_id["payment"]["manual"], &by_id["payment"]["at"]),
        (&rest["payment"]["manual"], &rest["payment"]["at"])
    );
    assert_eq!(by_id["items"][1]["unitPrice"], rest["items"][1]["unit_price"]);
    assert_eq!(by_id["items"][0]["product"]["sku"], "mug");
    assert_eq!(by_id["shipments"][0]["warehouseId"], rest["shipments"][0]["warehouse_id"]);
    assert_eq!(by_id["shipments"][0]["status"], "SHIPPED");
    assert_eq!(by_id["nextAction"]["by"], rest["next_action"]["by"].as_str().unwrap().to_uppercase());
    let events = staff.get(&format!("/v1/orders/{id}/events")).await.done(200).body["data"].clone();
    let nodes: Vec<&Value> = by_id["events"]["edges"].as_array().unwrap().iter().map(|edge| &edge["node"]).collect();
    assert_eq!(json!(nodes), events);
}

#[tokio::test]
async fn products_stock_and_customers_have_the_values_of_rest() {
    let app = TestApp::new().await;
    shop(&app, 1).await;
    let staff = app.staff().await;
    let product = found(&staff, "{ product(sku: \"mug\") { id sku name description price { amount } categoryId active available
        stock { id productId sku warehouseId onHand reserved available reorderLevel reorderQuantity product { sku } } } }")
        .await["product"]
        .clone();
    assert_eq!((&product["available"], &product["price"]["amount"]), (&json!(5069), &json!(1200)));
    let rest = staff.get(&format!("/v1/inventory?product_id={}", product["id"].as_str().unwrap())).await.done(200).body;
    for (ours, theirs) in product["stock"].as_array().unwrap().iter().zip(rest["data"].as_array().unwrap()) {
        assert_eq!((&ours["id"], &ours["onHand"]), (&theirs["id"], &theirs["on_hand"]));
        assert_eq!((&ours["reserved"], &ours["warehouseId"]), (&theirs["reserved"], &theirs["warehouse_id"]));
        assert_eq!(ours["product"]["sku"], "mug");
    }
    assert_eq!(product["stock"].as_array().unwrap().len(), 2);
    let customers = "{ customers(filter: { email: \"C0@example.com\" }) { edges { node { id name email
        orders { edges { node { number customer { name } } } } } } } }";
    let customer = found(&staff, customers).await["customers"]["edges"][0]["node"].clone();
    assert_eq!(customer["name"], "Customer 0");
    assert_eq!(customer["orders"]["edges"][0]["node"]["customer"]["name"], "Customer 0");
    let id = customer["id"].as_str().unwrap();
    let again = found(&staff, &format!("{{ customer(id: \"{id}\") {{ email }} }}")).await;
    assert_eq!(again["customer"]["email"], "c0@example.com");
    let me = found(&staff, "{ me { id name email role scopes } }").await["me"].clone();
    assert_eq!(
        me,
        json!({ "id": staff.id, "name": "Some One", "email": staff.email, "role": "STAFF", "scopes": null })
    );
}

#[tokio::test]
async fn answers_have_the_form_of_the_specification() {
    let app = TestApp::new().await;
    let order = shop(&app, 1).await[0];
    let staff = app.staff().await;
    let query =
        format!("{{ z: order(id: \"{order}\") {{ number customer {{ name }} id }} me {{ id }} a: __typename }}");
    let reply = ask(&staff, &query).await.done(200);
    let places: Vec<usize> = ["\"z\"", "\"number\"", "\"customer\"", "\"id\"", "\"me\"", "\"a\""]
        .iter()
        .map(|key| reply.text.find(key).unwrap())
        .collect();
    assert!(places.is_sorted(), "fields come in the order of the query: {}", reply.text);
    assert_eq!(reply.header("content-type"), "application/json");

    let merged = "query ($yes: Boolean!) { me { id ...f } me { role } ... on Query { me { name @skip(if: $yes) } } }
        fragment f on Me { email @include(if: $yes) }";
    let reply = staff.post("/v1/graphql", json!({ "query": merged, "variables": { "yes": true } })).await.done(200);
    assert_eq!(reply.body["data"], json!({ "me": { "id": staff.id, "email": staff.email, "role": "STAFF" } }));
    assert_eq!(found(&staff, "{ me { id @skip(if: true) } }").await, json!({ "me": {} }));
    assert_eq!(found(&staff, "{ me @skip(if: true) { id } }").await, json!({}));

    // A field that must not be null takes the object around it with it.
    let query =
        format!("{{ me {{ id }} order(id: \"{order}\") {{ id events(after: \"x\") {{ edges {{ cursor }} }} }} }}");
    let reply = ask(&staff, &query).await;
    assert_eq!(error(&reply), ("invalid_cursor".to_owned(), "order.events".to_owned()));
    assert_eq!(reply.body["data"], json!({ "me": { "id": staff.id }, "order": null }));

    let two = "query a { me { id } } query b { me { name } }";
    let named =
        staff.post("/v1/graphql", json!({ "query": two, "operationName": "b", "variables": null })).await.done(200);
    assert_eq!(named.body["data"]["me"], json!({ "name": "Some One" }));
}

#[tokio::test]
async fn what_is_not_there_is_null_and_says_why() {
    let app = TestApp::new().await;
    shop(&app, 1).await;
    let staff = app.staff().await;
    let id = uuid::Uuid::now_v7();
    for (query, code, path) in [
        (format!("{{ order(id: \"{id}\") {{ id }} }}"), "order_not_found", "order"),
        ("{ order(id: \"nonsense\") { id } }".to_owned(), "order_not_found", "order"),
        ("{ order(number: \"M-0000000\") { id } }".to_owned(), "order_not_found", "order"),
        ("{ o: order(number: \"what?\") { id } }".to_owned(), "order_not_found", "o"),
        (format!("{{ product(id: \"{id}\") {{ id }} }}"), "product_not_found", "product"),
        ("{ product(sku: \"none\") { id } }".to_owned(), "product_not_found", "product"),
        (format!("{{ customer(id: \"{id}\") {{ id }} }}"), "customer_not_found", "customer"),
        ("{ orders(after: \"x\") { pageInfo { endCursor } } }".to_owned(), "invalid_cursor", "orders"),
        ("{ orders(filter: { customerId: \"x\" }) { pageInfo { endCursor } } }".to_owned(), "invalid_value", "orders"),
        ("{ customers(filter: { email: \"x\" }) { pageInfo { endCursor } } }".to_owned(), "invalid_email", "customers"),
        ("{ products(filter: { q: \"\\u0000\" }) { pageInfo { endCursor } } }".to_owned(), "invalid_value", "products"),
    ] {
        let reply = ask(&staff, &query).await;
        assert_eq!(error(&reply), (code.to_owned(), path.to_owned()), "{query}");
        assert_eq!(reply.body["data"][path], Value::Null);
        assert!(reply.body["data"].as_object().is_some_and(|data| data.contains_key(path)), "{}", reply.text);
    }
    app.anyone().post("/v1/graphql", json!({ "query": "{ me { id } }" })).await.refused(401, "unauthenticated");
}
