//! A query takes the same number of statements for one parent and for a hundred.

use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use testkit::app::{TestApp, settings};
use testkit::database::{new_database, through_a_proxy};

use super::{found, shop};

const PARENTS: usize = 100;

/// Every edge is in one of these.
const CORPUS: &[&str] = &[
    "{ orders(first: N) { edges { node { number status total { amount } items { sku } shipments { id } payment { status } } } } }",
    "{ orders(first: N) { edges { node { customer { name orders(first: 1) { edges { node { number } } } } } } } }",
    "{ orders(first: N) { edges { node { events(first: 5) { edges { node { type } } } } } } }",
    "{ orders(first: N) { edges { node { items { product { name stock { onHand product { sku } } } } } } } }",
    "{ orders(first: N) { edges { node { items { product { name } } events(first: 1) { edges { node { at } } } customer { email } } } } }",
    "{ products(first: N) { edges { node { sku stock { onHand } } } } }",
    "{ inventory(first: N) { edges { node { onHand product { name stock { id } } } } } }",
    "{ customers(first: N) { edges { node { email orders(first: 2) { edges { node { number events(first: 1) { edges { node { type } } } } } } } } } }",
    "{ customers(first: N) { edges { node { a: orders(first: 1) { edges { node { id } } } b: orders(first: 2) { edges { node { id } } } } } } }",
];

#[tokio::test]
async fn a_hundred_parents_take_as_many_statements_as_one() {
    let database = new_database().await;
    let cli = settings(&database, &["--rate-limits=off", "--max-unpaid-units=0", "--max-unpaid-share=0"]);
    let state = api::serve::state(&cli.common, cli.serve).unwrap();
    let (proxy, url) = through_a_proxy(&database).await;
    // One connection, so that what sqlx asks about types when a connection is new is asked once.
    let reports = PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let state = state.with(|parts| parts.reports = reports);
    let app = TestApp::serve(&database, state).await;
    shop(&app, PARENTS).await;
    for n in 0..PARENTS {
        app.product(&format!("p{n}"), 100, 5).await;
    }
    let staff = app.staff().await;
    for query in CORPUS {
        let mut counts = Vec::new();
        // The first customer is the person who set up the shop, and has no orders.
        let few = if query.contains("customers(") { 2 } else { 1 };
        for first in [few, few, few + 1, PARENTS] {
            proxy.take_statements();
            let data = found(&staff, &query.replace('N', &first.to_string())).await;
            counts.push(proxy.take_statements());
            let list = data.as_object().unwrap().values().next().unwrap();
            assert_eq!(list["edges"].as_array().map(Vec::len), Some(first), "{query}");
            assert_ne!(list["edges"][first - 1]["node"], Value::Null);
        }
        assert!(counts[1..].iter().all(|count| *count == counts[1] && *count > 0), "{query}: {counts:?}");
    }
}
