//! GraphQL over HTTP.

mod generated;
mod hostile;
mod keys;
mod pages;
mod points;
mod rights;
mod schema;
mod statements;
mod values;

use serde_json::{Value, json};
use testkit::app::TestApp;
use testkit::person::{Person, Reply};
use uuid::Uuid;

/// Sends a query.
pub async fn ask(person: &Person<'_>, query: &str) -> Reply {
    person.post("/v1/graphql", json!({ "query": query })).await
}

/// Sends a query that finds everything it asks for.
pub async fn found(person: &Person<'_>, query: &str) -> Value {
    let reply = ask(person, query).await.done(200);
    assert_eq!(reply.body["errors"], Value::Null, "{query}: {}", reply.text);
    reply.body["data"].clone()
}

/// The code of the only error of an answer, and the path of its field, such as `order.customer`.
pub fn error(reply: &Reply) -> (String, String) {
    assert_eq!(reply.status, 200, "{reply:?}");
    let errors = reply.body["errors"].as_array().unwrap_or_else(|| panic!("no errors in {}", reply.text));
    assert_eq!(errors.len(), 1, "{}", reply.text);
    assert_eq!(errors[0]["extensions"]["request_id"], reply.header("x-request-id"));
    assert!(errors[0]["message"].as_str().is_some_and(|message| message.len() > 10), "{}", reply.text);
    let path = errors[0]["path"].as_array().unwrap().iter();
    let path: Vec<String> = path.map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned)).collect();
    (errors[0]["extensions"]["code"].as_str().unwrap().to_owned(), path.join("."))
}

/// A product in two warehouses, and orders of it for as many customers, the last of them paid and shipped by hand.
pub async fn shop(app: &TestApp, orders: usize) -> Vec<Uuid> {
    let staff = app.staff().await;
    let mug = app.product("mug", 1200, 5000).await;
    let annex = app.warehouse("ANNEX", 2).await;
    app.stock(mug, annex, 70).await;
    app.product("pot", 2500, 5000).await;
    let mut placed = Vec::new();
    for n in 0..orders {
        let customer = json!({ "email": format!("c{n}@example.com"), "name": format!("Customer {n}") });
        let customer = staff.post("/v1/customers", customer).await.done(201).body["id"].clone();
        let order = json!({
            "items": [{ "sku": "mug", "quantity": 1 }, { "sku": "pot", "quantity": 2 }], "payment_token": "tok_ok",
            "shipping_address": { "line1": "1 Mill Lane", "city": "Bath" }, "customer_id": customer,
        });
        let order = staff.post("/v1/orders", order).await.done(201);
        placed.push(order.id().parse().unwrap());
    }
    placed
}
