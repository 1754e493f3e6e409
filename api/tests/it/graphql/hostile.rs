//! Queries that are refused before anything of them runs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::app::TestApp;

use super::ask;

/// As long as a body may be.
const LONGEST: usize = 16 * 1024;

fn repeated(part: &str, around: (&str, &str)) -> String {
    let in_json = serde_json::to_string(part).unwrap().len() - 2;
    let count = (LONGEST - 200 - around.0.len() - around.1.len()) / in_json;
    format!("{}{}{}", around.0, part.repeat(count), around.1)
}

#[tokio::test]
async fn a_query_is_refused_for_what_is_wrong_with_it() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    for query in [
        "",
        "{",
        "nonsense",
        "{ me }",
        "{ me { nothing } }",
        "{ me { id } } }",
        "mutation { me { id } }",
        "subscription { me { id } }",
        "{ me { ...f } }",
        "{ me { ...f } } fragment f on Me { ...f }",
        "{ me { id } } fragment f on Me { id }",
        "query ($x: Int) { me { id } }",
        "{ orders(first: 0) { pageInfo { endCursor } } }",
        "{ orders(first: 101) { pageInfo { endCursor } } }",
        "{ orders(last: 5) { pageInfo { endCursor } } }",
        "{ orders(filter: { status: LOST }) { pageInfo { endCursor } } }",
        "{ orders(filter: { from: \"yesterday\" }) { pageInfo { endCursor } } }",
        "{ products(filter: { minPrice: 1.5 }) { pageInfo { endCursor } } }",
        "{ order { id } }",
        "{ order(id: 1, number: 2) { id } }",
        "query a { me { id } } query b { me { id } }",
        "{ me { id @what } }",
        "{ me { a: id a: name } }",
    ] {
        ask(&alice, query).await.refused(400, "invalid_query");
    }
    let query = "query ($n: Int!) { orders(first: $n) { pageInfo { endCursor } } }";
    for variables in [
        json!({}),
        json!({ "n": 0 }),
        json!({ "n": "7" }),
        json!({ "n": null }),
        json!({ "n": [1] }),
        json!({ "n": 1e9 }),
    ] {
        alice
            .post("/v1/graphql", json!({ "query": query, "variables": variables }))
            .await
            .refused(400, "invalid_query");
    }
    let unknown = json!({ "query": "query a { me { id } }", "operationName": "b" });
    alice.post("/v1/graphql", unknown).await.refused(400, "invalid_query");
    for (body, code) in [
        (json!({}), "missing_field"),
        (json!({ "query": 5 }), "invalid_value"),
        (json!({ "query": "{ me { id } }", "variables": [] }), "invalid_value"),
        (json!({ "query": "{ me { id } }", "extensions": {} }), "unknown_field"),
    ] {
        alice.post("/v1/graphql", body).await.refused(422, code);
    }
    alice.get("/v1/graphql?query={me{id}}").await.refused(405, "method_not_allowed");
}

#[tokio::test]
async fn depth_cost_and_size_have_limits() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let deep = |levels: usize| {
        let (open, close) = ("customer { orders(first: 1) { edges { node { ".repeat(levels), "} } } } ".repeat(levels));
        format!("{{ order(id: \"1\") {{ {open} id {close} }} }}")
    };
    ask(&alice, &deep(2)).await.done(200); // 10 levels: order, twice four, id
    ask(&alice, &deep(3)).await.refused(400, "query_too_deep");
    ask(&alice, &deep(100)).await.refused(400, "query_too_deep");

    let fits = "{ a: orders(first: 100) { edges { node { events(first: 16) { edges { node { type } } } } } } }"; // 2 + 100 * 19
    let reply = ask(&alice, fits).await.done(200);
    assert_eq!(
        (&reply.body["extensions"]["cost"]["requested"], &reply.body["extensions"]["cost"]["limit"]),
        (&json!(1902), &json!(2000))
    );
    let over = fits.replace("16", "17");
    let refused = ask(&alice, &over).await;
    refused.refused(400, "query_too_expensive");
    assert_eq!((&refused.body["requested"], &refused.body["limit"]), (&json!(2002), &json!(2000)));
    let product = "{ orders(first: 100) { edges { node { customer { orders(first: 100) { edges { node { events(first: 100) { pageInfo { endCursor } } } } } } } } } }";
    ask(&alice, product).await.refused(400, "query_too_expensive");

    let long = json!({ "query": format!("{{ me {{ id }} }} #{}", " ".repeat(LONGEST)) });
    alice.post("/v1/graphql", long).await.refused(413, "body_too_large");
    let fields = |count: usize| {
        format!("{{ {} }}", (0..count).map(|n| format!("a{n}: me {{ id }} ")).collect::<Vec<_>>().concat())
    };
    ask(&alice, &fields(30)).await.done(200);
    ask(&alice, &fields(31)).await.refused(400, "invalid_query");
    let fragments = format!("{{ ...f ...f }} fragment f on Query {}", fields(16));
    ask(&alice, &fragments).await.refused(400, "invalid_query");
    let directives = |count: usize| {
        let fields = (0..count).map(|n| format!("a{n}: id @include(if: true) ")).collect::<Vec<_>>().concat();
        format!("{{ me {{ {fields} }} }}")
    };
    ask(&alice, &directives(5)).await.done(200);
    ask(&alice, &directives(6)).await.refused(400, "invalid_query");
}

#[tokio::test]
async fn hostile_queries_cost_us_little() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let doubling =
        (0..300).map(|n| format!("fragment f{n} on Me{{...f{m} ...f{m}}}", m = n + 1)).collect::<Vec<_>>().concat();
    let doubling = format!("{{me{{...f0}}}}{doubling}fragment f300 on Me{{id}}");
    let shallow =
        (0..30).map(|n| format!("fragment f{n} on Me{{...f{m} ...f{m}}}", m = n + 1)).collect::<Vec<_>>().concat();
    let shallow = format!("{{me{{...f0}}}}{shallow}fragment f30 on Me{{id}}");
    let chain = (0..350).map(|n| format!("fragment f{n} on Me{{id ...f{}}}", n + 1)).collect::<Vec<_>>().concat();
    let chain = format!("{{me{{...f0}}}}{chain}fragment f350 on Me{{id}}");
    let operations = (0..300).map(|n| format!("query q{n}{{me{{...a ...b ...c}}}}")).collect::<Vec<_>>().concat();
    let operations =
        format!("{operations} fragment a on Me{{id ...b}} fragment b on Me{{id ...c}} fragment c on Me{{id}}");
    for (query, codes) in [
        (repeated("{me", ("", "")), &["query_too_deep"][..]),
        (repeated("{", ("", "")), &["query_too_deep"]),
        (repeated("...{", ("{", "")), &["query_too_deep"]),
        (repeated("[", ("{order(id: ", "")), &["invalid_query"]),
        (repeated("{a:", ("{orders(filter: ", "")), &["query_too_deep"]),
        (repeated("(", ("{order", "")), &["invalid_query"]),
        (repeated("[", ("query($x: ", "")), &["invalid_query"]),
        (repeated("\"", ("{order(id: ", ")}")), &["invalid_query"]),
        (repeated("\\\\", ("{order(id: \"", "\") {id}}")), &["order_not_found"]),
        (repeated("@a", ("{me{id ", "}}")), &["invalid_query"]),
        (repeated("#\n", ("{me{id}}", "")), &["fine"]),
        (repeated("id ", ("{me{", "}}")), &["fine"]),
        (repeated("...f ", ("{me{id ", "}} fragment f on Me{id name}")), &["fine", "invalid_query"]),
        (repeated("x:me{id}", ("{", "}")), &["invalid_query"]),
        (repeated("9", ("{orders(first: ", ") {pageInfo {endCursor}}}")), &["invalid_query"]),
        (repeated("...{id} ", ("{me{", "}}")), &["fine"]),
        // As deep as the parser gets to see, with an error at the bottom: it must not try every way to read it.
        (format!("{}!{}", "{a".repeat(32), "}".repeat(32)), &["invalid_query"]),
        (format!("{}!{}", "{a:b(c:[{d:$e}])".repeat(30), "}".repeat(30)), &["invalid_query"]),
        (format!("{{order(id: {}!{}) {{id}}}}", "[".repeat(31), "]".repeat(31)), &["invalid_query"]),
        (format!("{{order(id: {}!{}) {{id}}}}", "{a:".repeat(31), "}".repeat(31)), &["invalid_query"]),
        (doubling, &["query_too_deep"]),
        (shallow, &["invalid_query"]),
        (chain, &["query_too_deep"]),
        (operations, &["invalid_query"]),
    ] {
        let began = Instant::now();
        let reply = ask(&alice, &query).await;
        let code = match &reply.body["errors"][0]["extensions"]["code"] {
            Value::String(code) => code.clone(),
            _ if reply.status == 200 => "fine".to_owned(),
            _ => reply.code().to_owned(),
        };
        assert!(codes.contains(&code.as_str()), "{code}: {query:.60}: {:.300}", reply.text);
        assert!(began.elapsed() < Duration::from_secs(20), "{query:.60} took {:?}", began.elapsed());
    }
    let nested = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let nested: Value = serde_json::from_str(&nested).unwrap();
    let query = "query ($x: ID) { order(id: $x) { id } }";
    alice
        .post("/v1/graphql", json!({ "query": query, "variables": { "x": nested } }))
        .await
        .refused(400, "invalid_query");
    let many: serde_json::Map<String, Value> = (0..1000).map(|n| (format!("v{n}"), json!(n))).collect();
    alice.post("/v1/graphql", json!({ "query": "{ me { id } }", "variables": many })).await.done(200);
}

#[tokio::test]
async fn an_answer_that_grows_too_large_is_refused() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let product = json!({
        "sku": "novel", "name": "A novel", "description": "x".repeat(9000), "price": { "amount": 1, "currency": "USD" },
    });
    staff.post("/v1/products", product).await.done(201);
    let aliases = (0..900).map(|n| format!("a{n}: description ")).collect::<Vec<_>>().concat();
    let query = format!("{{ product(sku: \"novel\") {{ {aliases} }} }}");
    ask(&staff, &query).await.done(200);
    let query = format!(
        "{{ product(sku: \"novel\") {{ ...f }} b: product(sku: \"novel\") {{ ...f }} }} fragment f on Product {{ {aliases} }}"
    );
    ask(&staff, &query).await.refused(422, "answer_too_large");
}
