//! Queries of GraphQL to explain: every edge, for as many parents as a query may have.

use super::cases::{Case, User};

pub fn cases() -> Vec<Case> {
    [
        (User::Staff, r#"{"query": "{ orders(first: 100) { edges { node { number customer { email } items { product { sku stock { onHand } } } } } } }"}"#),
        (User::Staff, r#"{"query": "{ orders(first: 80) { edges { node { events(first: 20) { edges { node { type data } } } } } } }"}"#),
        (User::Staff, r#"{"query": "{ customers(first: 80) { edges { node { name orders(first: 20) { edges { node { number } } } } } } }"}"#),
        (User::Staff, r#"{"query": "{ customer(id: \"{hot_customer}\") { orders(first: 100) { edges { node { number } } } } }"}"#),
        (User::Staff, r#"{"query": "{ inventory(first: 100, filter: { lowStock: true }) { edges { node { onHand product { name stock { id } } } } } }"}"#),
        (User::Staff, r#"{"query": "{ product(sku: \"{sku}\") { id stock { onHand } } order(id: \"{order}\") { number } }"}"#),
        (User::Customer, r#"{"query": "{ orders(first: 100) { edges { node { number customer { email orders(first: 10) { edges { node { id } } } } } } } }"}"#),
        (User::HotCustomer, r#"{"query": "{ orders(first: 100) { edges { node { number items { product { available } } } } } }"}"#),
    ]
    .map(|(user, body)| Case { user, path: "/v1/graphql", body: Some(body), sorted: None, search: false })
    .into()
}
