//! Who sees what: the same as in REST.

use api::graphql::rules::{self, FieldRule};
use serde_json::{Value, json};
use testkit::app::TestApp;

use super::{ask, error, found, shop};

#[test]
fn every_field_has_a_rule() {
    let fields = api::graphql::fields();
    assert!(fields.len() > 70, "{fields:?}");
    for (object, field) in &fields {
        assert!(rules::of(object, field).is_some(), "{object}.{field} has no rule in api/src/graphql/rules.rs");
    }
    for (object, field) in rules::named() {
        let exists = fields.iter().any(|(known, name)| known == object && name == field);
        assert!(exists, "there is no field {object}.{field} any more: remove its rule");
    }
}

/// A field for staff only needs a query here that reaches it.
#[tokio::test]
async fn customers_are_refused_what_is_for_staff() {
    let app = TestApp::new().await;
    shop(&app, 0).await;
    let alice = app.customer().await;
    let order = alice.order("mug", "tok_ok").await;
    let staff = app.staff().await;
    for status in ["processing", "paid", "shipped"] {
        staff.move_to(&order, status).await.done(200);
    }
    let id = order.rsplit('/').next().unwrap();
    let queries = [
        ("Query.inventory", "inventory", "{ inventory { edges { node { id } } } }".to_owned()),
        ("Query.customer", "customer", format!("{{ customer(id: \"{id}\") {{ id }} }}")),
        ("Query.customers", "customers", "{ customers { pageInfo { endCursor } } }".to_owned()),
        (
            "Shipment.warehouseId",
            "order.shipments.0.warehouseId",
            format!("{{ order(id: \"{id}\") {{ shipments {{ id warehouseId }} }} }}"),
        ),
        ("Product.stock", "product.stock", "{ product(sku: \"mug\") { id stock { id } } }".to_owned()),
    ];
    for (object, field) in api::graphql::fields() {
        // Stock is reached by fields that need the same.
        if matches!(rules::of(&object, &field), Some(FieldRule::Needs(_))) && object != "Stock" {
            assert!(
                queries.iter().any(|(name, ..)| *name == format!("{object}.{field}")),
                "no query for {object}.{field}"
            );
        }
    }
    for (name, path, query) in queries {
        let reply = ask(&alice, &query).await;
        assert_eq!(error(&reply), ("forbidden".to_owned(), path.to_owned()), "{name}");
        assert!(reply.body["data"].is_object(), "the rest is answered: {}", reply.text);
        if !query.contains("customer(") {
            assert_eq!(ask(&staff, &query).await.done(200).body["errors"], Value::Null, "{name}");
        }
    }
    let inactive = ask(&alice, "{ products(filter: { active: false }) { pageInfo { endCursor } } }").await;
    assert_eq!(error(&inactive), ("forbidden".to_owned(), "products".to_owned()));
}

#[tokio::test]
async fn customers_see_their_own_orders_and_in_them_themselves() {
    let app = TestApp::new().await;
    let foreign = shop(&app, 2).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let own = alice.order("mug", "tok_ok").await;
    let own = own.rsplit('/').next().unwrap();
    staff.post(&format!("/v1/orders/{own}/notes"), json!({ "text": "a secret" })).await.done(201);

    let list = "{ orders { edges { node { id customer { email orders { edges { node { id } } } } } } } }";
    let orders = found(&alice, list).await["orders"]["edges"].clone();
    assert_eq!(orders.as_array().unwrap().len(), 1);
    let node = &orders[0]["node"];
    assert_eq!((&node["id"], &node["customer"]["email"]), (&json!(own), &json!(alice.email)));
    assert_eq!(node["customer"]["orders"]["edges"], json!([{ "node": { "id": own } }]));
    assert_eq!(found(&staff, list).await["orders"]["edges"].as_array().unwrap().len(), 3);

    for query in [
        format!("{{ order(id: \"{}\") {{ id }} }}", foreign[0]),
        format!("{{ order(number: \"{}\") {{ id }} }}", number(&staff, foreign[0]).await),
    ] {
        assert_eq!(error(&ask(&alice, &query).await), ("order_not_found".to_owned(), "order".to_owned()));
    }
    let of_others = staff.get(&format!("/v1/orders/{}", foreign[0])).await.done(200).body["customer_id"].clone();
    let filtered = format!("{{ orders(filter: {{ customerId: {of_others} }}) {{ edges {{ node {{ id }} }} }} }}");
    assert_eq!(found(&alice, &filtered).await["orders"]["edges"], json!([]));

    let events = format!("{{ order(id: \"{own}\") {{ events {{ edges {{ node {{ type data }} }} }} }} }}");
    let seen = ask(&alice, &events).await.done(200);
    assert!(
        seen.text.contains("\"note\"") && !seen.text.contains("a secret") && !seen.text.contains("warehouse"),
        "{}",
        seen.text
    );
    assert!(ask(&staff, &events).await.text.contains("a secret"));
}

async fn number(staff: &testkit::person::Person<'_>, order: uuid::Uuid) -> String {
    staff.get(&format!("/v1/orders/{order}")).await.done(200).body["number"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_product_that_is_not_sold_is_hidden_from_customers() {
    let app = TestApp::new().await;
    shop(&app, 0).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let order = alice.order("mug", "tok_ok").await;
    let id = order.rsplit('/').next().unwrap();
    let product = found(&staff, "{ product(sku: \"mug\") { id } }").await["product"]["id"].clone();
    staff.delete(&format!("/v1/products/{}", product.as_str().unwrap())).await.done(204);
    let hidden = |path: &str| ("product_not_found".to_owned(), path.to_owned());
    assert_eq!(error(&ask(&alice, "{ product(sku: \"mug\") { price { amount } } }").await), hidden("product"));
    let items = format!("{{ order(id: \"{id}\") {{ items {{ name product {{ description }} }} }} }}");
    let reply = ask(&alice, &items).await;
    assert_eq!(error(&reply), hidden("order.items.0.product"));
    assert_eq!(reply.body["data"]["order"]["items"][0]["name"], "A mug");
    assert_eq!(found(&staff, &items).await["order"]["items"][0]["product"]["description"], "");
}

#[tokio::test]
async fn staff_who_must_set_up_a_second_factor_see_nothing_yet() {
    let app = TestApp::with(&["--staff-require-totp=on"]).await;
    ask(&app.staff().await, "{ me { id } }").await.refused(403, "totp_setup_required");
}
