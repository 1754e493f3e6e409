//! API keys: each field asks for its scope.

use serde_json::json;
use testkit::app::TestApp;

use super::{ask, error, found, shop};
use crate::keys::program;

const SCOPES: [&str; 3] = ["orders:read", "inventory:read", "customers:read"];

#[tokio::test]
async fn a_key_sees_what_its_scopes_open() {
    let app = TestApp::new().await;
    let order = shop(&app, 2).await[0];
    let admin = app.admin().await;
    let customer = admin.get(&format!("/v1/orders/{order}")).await.done(200).body["customer_id"].clone();
    let with_all = program(&app, &admin, &SCOPES).await;
    for (scope, path, query) in [
        ("orders:read", "order", format!("{{ order(id: \"{order}\") {{ number }} }}")),
        ("orders:read", "orders", "{ orders { edges { node { shipments { warehouseId } } } } }".to_owned()),
        ("inventory:read", "inventory", "{ inventory { edges { node { onHand product { sku } } } } }".to_owned()),
        ("inventory:read", "product.stock", "{ product(sku: \"mug\") { stock { onHand } } }".to_owned()),
        ("customers:read", "customer", format!("{{ customer(id: {customer}) {{ email }} }}")),
        ("customers:read", "customers", "{ customers { edges { node { email } } } }".to_owned()),
        ("customers:read", "order.customer", format!("{{ order(id: \"{order}\") {{ id customer {{ email }} }} }}")),
        (
            "orders:read",
            "customer.orders",
            format!("{{ customer(id: {customer}) {{ orders {{ edges {{ node {{ id }} }} }} }} }}"),
        ),
    ] {
        let others: Vec<&str> = SCOPES.into_iter().filter(|it| *it != scope).collect();
        let without = program(&app, &admin, &others).await;
        assert_eq!(error(&ask(&without, &query).await), ("insufficient_scope".to_owned(), path.to_owned()));
        found(&with_all, &query).await;
    }
    let all = found(&with_all, "{ orders { edges { node { customer { name } } } } me { id role email scopes } }").await;
    assert_eq!(all["orders"]["edges"].as_array().unwrap().len(), 2);
    assert_eq!(all["me"], json!({ "id": with_all.id, "role": null, "email": null, "scopes": SCOPES }));
    let writer = program(&app, &admin, &["orders:write"]).await;
    found(&writer, "{ orders { edges { node { id } } } products { edges { node { sku } } } }").await;
}

#[tokio::test]
async fn a_key_may_spend_five_times_as_much() {
    let app = TestApp::with(&["--rate-limit-graphql=1000/1h"]).await;
    let admin = app.admin().await;
    let robot = program(&app, &admin, &["orders:read"]).await;
    let query = "{ a: orders(first: 100) { edges { node { events(first: 20) { edges { node { type } } } } } } }"; // 2 + 100 * 23
    let reply = ask(&robot, query).await.done(200);
    let cost = &reply.body["extensions"]["cost"];
    assert_eq!((&cost["requested"], &cost["limit"], &cost["remaining"]), (&json!(2302), &json!(10_000), &json!(2698)));
    ask(&admin, query).await.refused(400, "query_too_expensive");
}
