//! Costs and refusals as a table, on a schema like ours.

use async_graphql::parser::parse_query;
use serde_json::{Value as Json, json};

use super::*;

const SCHEMA: &str = "
    type Query { me: Me!  order(id: ID, number: String): Order  orders(first: Int = 20, after: String): OrderConnection }
    type Me { id: ID!  scopes: [String!] }
    type Order { id: ID!  number: String!  total: Money!  items: [Item!]!  customer: Customer
                 events(first: Int = 20): EventConnection! }
    type Money { amount: Int!  currency: String! }
    type Item { sku: String!  order: Order  unitPrice: Money! }
    type Customer { name: String!  orders(first: Int = 20): OrderConnection }
    type OrderConnection { edges: [OrderEdge!]!  pageInfo: PageInfo! }
    type OrderEdge { cursor: String!  node: Order! }
    type Event { type: String! }
    type EventConnection { edges: [EventEdge!]!  pageInfo: PageInfo! }
    type EventEdge { cursor: String!  node: Event! }
    type PageInfo { hasNextPage: Boolean!  endCursor: String }
";

fn measure(query: &str, variables: Json, may_introspect: bool) -> Measure<u64> {
    let document = parse_query(query).unwrap();
    let variables = Variables::from_json(variables);
    let asked = AskedQuery { document: &document, operation_name: None, variables: &variables, may_introspect };
    cost(&Table::of_schema(SCHEMA), &asked, selected(&asked)?)
}

#[test]
fn a_query_costs_what_the_contract_says() {
    for (query, points) in [
        ("{me {id}}", 1),
        ("{me {id scopes}}", 2),
        ("{__typename}", 0),
        ("{orders(first: 50) {edges {node {number total {amount}}}}}", 102),
        ("{orders {edges {node {number}}}}", 22),
        ("{orders(first: 7) {edges {cursor} pageInfo {hasNextPage}}}", 9),
        ("{orders(first: null) {pageInfo {endCursor}}}", 22),
        ("{order(number: \"M-1\") {number items {sku}}}", 2),
        ("{order(number: \"M-1\") {number items {sku unitPrice {amount}}}}", 3),
        ("{a: order(id: \"1\") {id} b: order(id: \"1\") {id}}", 2),
        ("{orders(first: 2) {edges {a: node {id} b: node {total {amount}}}}}", 2 + 2 * (1 + 2)),
        ("{orders(first: 10) {edges {node {events(first: 3) {edges {node {type}}}}}}}", 2 + 10 * (1 + 2 + 3)),
        ("{orders(first: 10) {edges {node {customer {orders(first: 5) {edges {node {id}}}}}}}}", 2 + 10 * (2 + 2 + 5)),
        (
            "{...f ...f} fragment f on Query {orders(first: 4) {...c}} fragment c on OrderConnection {edges {node {id}}}",
            12,
        ),
        ("{orders(first: 3) {edges {... on OrderEdge {node {... {total {amount}}}}}}}", 2 + 3 * 2),
        ("{me @skip(if: true) {id}}", 1),
    ] {
        assert_eq!(measure(query, json!({}), false), Ok(points), "{query}");
    }
}

#[test]
fn variables_count_by_their_values() {
    let query = "query ($n: Int = 5) {orders(first: $n) {pageInfo {endCursor}}}";
    for (variables, points) in [(json!({}), Some(7)), (json!({"n": 9}), Some(11)), (json!({"n": null}), Some(22))] {
        assert_eq!(measure(query, variables, false).ok(), points);
    }
    for wrong in
        [json!({"n": 0}), json!({"n": 101}), json!({"n": -1}), json!({"n": 1.5}), json!({"n": "5"}), json!({"n": [5]})]
    {
        assert!(matches!(measure(query, wrong, false), Err(Refusal::Invalid(_))));
    }
}

#[test]
fn hostile_queries_are_refused() {
    let deep =
        |levels: usize| format!("{{order(id: 1) {}{{id}}{}}}", "{items{order".repeat(levels), "}}".repeat(levels));
    let many =
        |count: usize| format!("{{{}}}", (0..count).map(|n| format!("a{n}: __typename ")).collect::<Vec<_>>().concat());
    let chain = |count: usize| {
        let fragments =
            (0..count).map(|n| format!("fragment f{n} on Query {{...f{}}} ", n + 1)).collect::<Vec<_>>().concat();
        format!("{{...f0}} {fragments} fragment f{count} on Query {{__typename}}")
    };
    let doubling =
        (0..40).map(|n| format!("fragment f{n} on Me {{...f{m} ...f{m}}} ", m = n + 1)).collect::<Vec<_>>().concat();
    let doubling = format!("{{me {{...f0}}}} {doubling} fragment f40 on Me {{id}}");
    let doubling_shallow =
        (0..20).map(|n| format!("fragment f{n} on Me {{...f{m} ...f{m}}} ", m = n + 1)).collect::<Vec<_>>().concat();
    let doubling_shallow = format!("{{me {{...f0}}}} {doubling_shallow} fragment f20 on Me {{id}}");
    let invalid = [
        "mutation {me {id}}",
        "subscription {me {id}}",
        "{me {...f}} fragment f on Me {...f}",
        "{me {id}} fragment a on Me {...b} fragment b on Me {...a}",
        "{me {...nothing}}",
        "{nothing}",
        "{me {nothing}}",
        "{order {id}}",
        "{order(id: 1, number: 1) {id}}",
        "{order(id: null) {id}}",
        "query ($x: ID) {order(id: $x) {id}}",
        "{orders(first: 0) {pageInfo {endCursor}}}",
        "{orders(first: 101) {pageInfo {endCursor}}}",
        "{orders(first: 99999999999999999999) {pageInfo {endCursor}}}",
        "{orders(first: \"5\") {pageInfo {endCursor}}}",
        "{__schema {types {name}}}",
        "{__type(name: \"Me\") {name}}",
        "{... on Nothing {id}}",
        "query a {me {id}} query b {me {id}}",
    ]
    .map(str::to_owned);
    let directives = |count: usize| format!("{{me {{{}}}}}", "id @skip(if: false) ".repeat(count));
    for query in invalid.into_iter().chain([many(31), directives(6), doubling_shallow]) {
        assert!(matches!(measure(&query, json!({}), false), Err(Refusal::Invalid(_))), "{query:.80}");
    }
    for query in [deep(5), deep(10), chain(50), doubling] {
        assert_eq!(measure(&query, json!({}), false), Err(Refusal::TooDeep), "{query:.80}");
    }
    for query in [deep(4), many(30), directives(5), chain(30)] {
        assert!(measure(&query, json!({}), false).is_ok(), "{query:.80}");
    }
}

#[test]
fn the_schema_can_be_asked_for_but_not_over_and_over() {
    let usual = "{__schema {queryType {name} types {...t}}}
        fragment t on __Type {kind fields {name args {...i} type {...r}} inputFields {...i}}
        fragment i on __InputValue {name type {...r}}
        fragment r on __Type {kind ofType {kind ofType {kind ofType {kind ofType {kind ofType {name ofType {name ofType {name}}}}}}}}";
    assert!(measure(usual, json!({}), true).is_ok());
    assert!(matches!(measure(usual, json!({}), false), Err(Refusal::Invalid(_))));
    let over = "{__schema {types {fields {type {fields {type {fields {name}}}}}}}}";
    assert!(matches!(measure(over, json!({}), true), Err(Refusal::Invalid(_))));
}
