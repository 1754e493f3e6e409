//! Connections show the lists of REST, in their order.

use serde_json::{Value, json};
use testkit::app::TestApp;
use testkit::person::Person;

use super::{ask, error, found, shop};

/// The values of a field, read in pages of this length.
async fn paged(person: &Person<'_>, list: &str, filter: &str, field: &str, first: usize) -> Vec<Value> {
    let (mut values, mut after) = (Vec::new(), "null".to_owned());
    loop {
        let query = format!(
            "{{ {list}(first: {first}, after: {after} {filter}) {{ edges {{ cursor node {{ {field} }} }} pageInfo {{ hasNextPage endCursor }} }} }}"
        );
        let page = found(person, &query).await[list].clone();
        let edges = page["edges"].as_array().unwrap();
        values.extend(edges.iter().map(|edge| edge["node"][field].clone()));
        assert_eq!(page["pageInfo"]["endCursor"], edges.last().map_or(Value::Null, |edge| edge["cursor"].clone()));
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            return values;
        }
        assert_eq!(edges.len(), first);
        after = page["pageInfo"]["endCursor"].to_string();
    }
}

#[tokio::test]
async fn pages_have_the_order_of_rest() {
    let app = TestApp::new().await;
    shop(&app, 5).await;
    for (sku, price) in [("cup", 300), ("jug", 2500), ("can", 100)] {
        app.bare_product(sku, price).await;
    }
    let staff = app.staff().await;
    for (list, filter, rest, field) in [
        ("orders", "", "/v1/orders", "id"),
        ("orders", ", filter: { status: PENDING, from: \"2020-01-01T00:00:00Z\" }", "/v1/orders?status=pending", "id"),
        ("orders", ", filter: { status: PAID }", "/v1/orders?status=paid", "id"),
        ("products", "", "/v1/products", "sku"),
        ("products", ", filter: { minPrice: 200 }", "/v1/products?min_price=200", "sku"),
        ("products", ", filter: { q: \"u\", maxPrice: 9000000000 }", "/v1/products?q=u&max_price=9000000000", "sku"),
        ("inventory", "", "/v1/inventory", "id"),
        ("inventory", ", filter: { lowStock: false }", "/v1/inventory?low_stock=false", "id"),
        ("customers", "", "/v1/customers", "id"),
    ] {
        let rest = staff.get(rest).await.done(200);
        let rest: Vec<Value> = rest.body["data"].as_array().unwrap().iter().map(|row| row[field].clone()).collect();
        for first in [1, 2, 100] {
            assert_eq!(paged(&staff, list, filter, field, first).await, rest, "{list} {filter} by {first}");
        }
    }
}

#[tokio::test]
async fn connections_below_others_have_pages_too() {
    let app = TestApp::new().await;
    let order = shop(&app, 1).await[0];
    let staff = app.staff().await;
    staff.patch(&format!("/v1/orders/{order}/status"), json!({ "status": "processing" })).await.done(200);
    let events = async |after: &str| {
        let query = format!(
            "{{ order(id: \"{order}\") {{ events(first: 1, after: {after}) {{ edges {{ cursor node {{ sequence }} }} pageInfo {{ hasNextPage }} }} }} }}"
        );
        found(&staff, &query).await["order"]["events"].clone()
    };
    let first = events("null").await;
    assert_eq!((&first["edges"][0]["node"]["sequence"], &first["pageInfo"]["hasNextPage"]), (&json!(1), &json!(true)));
    let second = events(&first["edges"][0]["cursor"].to_string()).await;
    assert_eq!(second["edges"][0]["node"]["sequence"], 2);
    let past = events(&second["edges"][0]["cursor"].to_string()).await;
    assert_eq!(past, json!({ "edges": [], "pageInfo": { "hasNextPage": false } }));

    // A cursor belongs to its list and its filter.
    let cursor =
        &found(&staff, "{ orders(first: 1) { pageInfo { endCursor } } }").await["orders"]["pageInfo"]["endCursor"];
    for query in [
        format!("{{ orders(after: {cursor}, filter: {{ status: PAID }}) {{ pageInfo {{ endCursor }} }} }}"),
        format!("{{ orders: products(after: {cursor}) {{ pageInfo {{ endCursor }} }} }}"),
    ] {
        assert_eq!(error(&ask(&staff, &query).await), ("invalid_cursor".to_owned(), "orders".to_owned()));
    }
}
