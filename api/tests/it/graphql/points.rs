//! The cost of queries is taken from the caller's points.

use serde_json::{Value, json};
use testkit::app::TestApp;

use super::ask;

#[tokio::test]
async fn a_query_shows_what_it_costs_and_is_refused_when_the_points_are_used_up() {
    let app = TestApp::with(&["--rate-limit-graphql=250/1h"]).await;
    let (alice, bob) = (app.customer().await, app.customer().await);
    let query = "{ orders(first: 50) { edges { node { number total { amount } } } } }";
    for remaining in [148, 46] {
        let reply = ask(&alice, query).await.done(200);
        let cost = &reply.body["extensions"]["cost"];
        assert_eq!((&cost["requested"], &cost["limit"]), (&json!(102), &json!(2000)));
        assert_eq!(cost["remaining"], remaining);
        assert!(cost["resets_in_ms"].as_u64().is_some_and(|millis| (1..=3_600_000).contains(&millis)), "{cost}");
        assert_eq!(reply.header("ratelimit-limit"), "250");
        assert_eq!(reply.header("ratelimit-remaining"), remaining.to_string());
    }
    let refused = ask(&alice, query).await;
    refused.refused(429, "rate_limited");
    assert!((1..=3600).contains(&refused.header("retry-after").parse().unwrap()));
    assert_eq!(refused.header("ratelimit-remaining"), "46");
    ask(&alice, "{ orders(first: 5) { edges { node { number } } } }").await.done(200);
    // What is refused for another reason costs no points.
    ask(&alice, "{ nothing }").await.refused(400, "invalid_query");
    let rest = ask(&alice, "{ __typename }").await.done(200);
    assert_eq!(
        (&rest.body["extensions"]["cost"]["requested"], &rest.body["extensions"]["cost"]["remaining"]),
        (&json!(0), &json!(39))
    );
    ask(&bob, query).await.done(200);
    alice.get("/v1/orders").await.done(200);
}

#[tokio::test]
async fn without_rate_limits_nothing_is_counted() {
    let app = TestApp::with(&["--rate-limits=off"]).await;
    let reply = ask(&app.customer().await, "{ me { id } }").await.done(200);
    let expected =
        json!({ "cost": { "requested": 1, "limit": 2000, "remaining": Value::Null, "resets_in_ms": Value::Null } });
    assert_eq!(reply.body["extensions"], expected);
    assert_eq!(reply.header("ratelimit-limit"), "");
}

#[tokio::test]
async fn queries_count_as_reads_too() {
    let app = TestApp::with(&["--rate-limit-read=2/1h"]).await;
    let alice = app.customer().await;
    ask(&alice, "{ nothing }").await.refused(400, "invalid_query");
    ask(&alice, "{ nothing }").await.refused(400, "invalid_query");
    ask(&alice, "{ me { id } }").await.refused(429, "rate_limited");
}
