//! The OpenAPI document and its page: valid OpenAPI 3.1, complete, and correct.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use testkit::app::TestApp;

/// All routes of the contract. The API serves and documents these and no others.
const CONTRACT: &[(&str, &str)] = &[
    ("post", "/v1/auth/register"),
    ("post", "/v1/auth/login"),
    ("post", "/v1/auth/refresh"),
    ("post", "/v1/auth/logout"),
    ("get", "/v1/me"),
    ("post", "/v1/me/password"),
    ("get", "/v1/me/sessions"),
    ("delete", "/v1/me/sessions/{id}"),
    ("delete", "/v1/users/{id}/sessions"),
    ("get", "/v1/users"),
    ("post", "/v1/users"),
    ("patch", "/v1/users/{id}"),
    ("get", "/v1/service-accounts"),
    ("post", "/v1/service-accounts"),
    ("get", "/v1/service-accounts/{id}"),
    ("patch", "/v1/service-accounts/{id}"),
    ("post", "/v1/service-accounts/{id}/keys"),
    ("get", "/v1/api-keys"),
    ("get", "/v1/api-keys/{id}"),
    ("delete", "/v1/api-keys/{id}"),
    ("post", "/v1/api-keys/{id}/rotate"),
    ("get", "/.well-known/jwks.json"),
    ("get", "/v1/products"),
    ("get", "/v1/products/{id}"),
    ("post", "/v1/products"),
    ("put", "/v1/products/{id}"),
    ("patch", "/v1/products/{id}"),
    ("delete", "/v1/products/{id}"),
    ("get", "/v1/categories"),
    ("post", "/v1/categories"),
    ("patch", "/v1/categories/{id}"),
    ("delete", "/v1/categories/{id}"),
    ("get", "/v1/customers"),
    ("post", "/v1/customers"),
    ("get", "/v1/customers/{id}"),
    ("patch", "/v1/customers/{id}"),
    ("get", "/v1/warehouses"),
    ("post", "/v1/warehouses"),
    ("patch", "/v1/warehouses/{id}"),
    ("get", "/v1/inventory"),
    ("get", "/v1/inventory/low-stock"),
    ("get", "/v1/inventory/onhand"),
    ("get", "/v1/inventory/{id}"),
    ("post", "/v1/inventory"),
    ("patch", "/v1/inventory/{id}"),
    ("post", "/v1/inventory/{id}/adjustments"),
    ("get", "/v1/inventory/movements"),
    ("post", "/v1/inventory/bulk"),
    ("post", "/v1/inventory/reserve"),
    ("post", "/v1/inventory/release"),
    ("post", "/v1/inventory/ship"),
    ("post", "/v1/inventory/reaper"),
    ("post", "/v1/orders"),
    ("get", "/v1/orders"),
    ("get", "/v1/orders/{id}"),
    ("get", "/v1/orders/{id}/events"),
    ("post", "/v1/orders/{id}/cancel"),
    ("post", "/v1/orders/{id}/notes"),
    ("patch", "/v1/orders/{id}/status"),
    ("get", "/v1/events"),
    ("get", "/v1/ops/queues"),
    ("post", "/v1/ops/queues/{name}/pause"),
    ("post", "/v1/ops/queues/{name}/resume"),
    ("get", "/v1/ops/jobs"),
    ("get", "/v1/ops/jobs/{id}"),
    ("post", "/v1/ops/jobs/{id}/retry"),
    ("post", "/v1/ops/jobs/{id}/discard"),
    ("post", "/v1/ops/jobs/retry"),
    ("get", "/v1/ops/workers"),
    ("get", "/v1/ops/audit"),
    ("get", "/v1/ops/audit/runs"),
    ("post", "/v1/ops/audit/runs"),
    ("get", "/v1/ops/audit/runs/{id}"),
    ("get", "/health"),
    ("get", "/health/live"),
    ("get", "/health/ready"),
];

/// Routes without authentication. All others require a token, and the document says so.
const PUBLIC: &[(&str, &str)] = &[
    ("post", "/v1/auth/invite"),
    ("post", "/v1/auth/register"),
    ("post", "/v1/auth/login"),
    ("post", "/v1/auth/refresh"),
    ("get", "/.well-known/jwks.json"),
    ("get", "/v1/products"),
    ("get", "/v1/products/{id}"),
    ("get", "/v1/categories"),
    ("get", "/v1/categories/{id}"),
    ("get", "/v1/inventory/onhand"),
    ("get", "/health"),
    ("get", "/health/live"),
    ("get", "/health/ready"),
];

/// POST routes that take no `Idempotency-Key`.
const NOT_ONCE: &[&str] = &[
    "/v1/auth/invite",
    "/v1/auth/register",
    "/v1/auth/login",
    "/v1/auth/refresh",
    "/v1/auth/logout",
    "/v1/me/password",
    "/v1/me/password/confirm",
    "/v1/me/totp",
    "/v1/me/totp/confirm",
];

struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    says: &'a Value,
}

async fn document(app: &TestApp) -> Value {
    app.anyone().get("/openapi.json").await.done(200).body
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(|(method, says)| Operation { method, path, says })
        })
        .collect()
}

#[tokio::test]
async fn the_document_lists_every_row_of_the_contract() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    let documented: BTreeSet<(&str, &str)> = operations(&document).iter().map(|it| (it.method, it.path)).collect();
    let missing: Vec<_> = CONTRACT.iter().filter(|row| !documented.contains(*row)).collect();
    assert!(missing.is_empty(), "not documented: {missing:?}");
}

#[tokio::test]
async fn every_documented_operation_is_served_and_wants_a_token_where_it_says_so() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    for Operation { method, path, says } in operations(&document) {
        let address = path.replace("{id}", &Uuid::now_v7().to_string()).replace("{name}", "default");
        let called = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let reply = app.anyone().send(called, &address, None, &[]).await;
        if PUBLIC.contains(&(method, path)) {
            assert_eq!(says["security"], Value::Null, "{method} {path}");
            assert_ne!((reply.status.as_u16(), reply.code()), (404, "not_found"), "{method} {path}");
            assert!(![401, 405].contains(&reply.status.as_u16()), "{method} {path}: {reply:?}");
        } else {
            assert_eq!(says["security"][0]["token"], Value::Array(vec![]), "{method} {path}");
            reply.refused(401, "unauthenticated");
            assert_eq!(reply.header("www-authenticate"), "Bearer", "{method} {path}");
        }
    }
}

/// Checks rules of OpenAPI 3.1 that generated documents often break: ids, references, parameters, responses.
#[tokio::test]
async fn the_document_is_valid() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");

    let mut broken = Vec::new();
    references(&document, &mut |reference| {
        let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
        if target.is_none() {
            broken.push(reference.to_owned());
        }
    });
    assert!(broken.is_empty(), "these refer to nothing: {broken:?}");

    let tags: BTreeSet<&str> = document["tags"].as_array().unwrap().iter().map(|tag| text(&tag["name"])).collect();
    let mut named = BTreeMap::new();
    for Operation { method, path, says } in operations(&document) {
        let here = format!("{method} {path}");
        if let Some(other) = named.insert(text(&says["operationId"]).to_owned(), here.clone()) {
            panic!("{here} has the operationId of {other}");
        }
        let tag = says["tags"][0].as_str().unwrap_or_default();
        assert!(tags.contains(tag), "{here}: the tag {tag} is not described");
        assert!(!text(&says["summary"]).is_empty(), "{here} has no summary");

        let parameters = says["parameters"].as_array().cloned().unwrap_or_default();
        let mut seen = BTreeSet::new();
        for parameter in &parameters {
            let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
            assert!(seen.insert((name, place)), "{here}: {name} is there twice");
            assert!(["path", "query", "header"].contains(&place), "{here}: {name} is in {place}");
            assert!(parameter["schema"].is_object(), "{here}: {name} has no schema");
            let required = parameter["required"] == Value::Bool(true);
            assert!(required || place != "path", "{here}: {name} is in the path and not required");
        }
        let in_path: BTreeSet<&str> = path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        let declared: BTreeSet<&str> =
            seen.iter().filter(|(_, place)| *place == "path").map(|(name, _)| *name).collect();
        assert_eq!(in_path, declared, "{here}");

        let responses = says["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{here} cannot succeed");
        for (status, response) in responses {
            assert!(status.parse::<u16>().is_ok_and(|status| (100..600).contains(&status)), "{here}: {status}");
            assert!(!text(&response["description"]).is_empty(), "{here}: {status} is not described");
        }
    }
}

#[tokio::test]
async fn every_operation_shows_examples_error_codes_and_who_may_call_it() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    let mut missing = Vec::new();
    for Operation { method, path, says } in operations(&document) {
        let here = format!("{method} {path}");
        let mut want = |there: bool, what: String| {
            if !there {
                missing.push(format!("{here}: {what}"));
            }
        };
        let v1 = path.starts_with("/v1/");
        let secured = says["security"].is_array();
        let body = says["requestBody"]["content"].as_object();
        let queried = says["parameters"].as_array().is_some_and(|all| all.iter().any(|it| it["in"] == "query"));
        for (status, needed) in [
            ("400", body.is_some()),
            ("401", secured),
            ("403", secured),
            ("413", body.is_some()),
            ("415", body.is_some()),
            ("422", body.is_some() || queried),
            ("429", v1),
            ("503", v1),
        ] {
            want(!needed || says["responses"][status].is_object(), format!("says nothing of {status}"));
        }
        for (status, response) in says["responses"].as_object().unwrap() {
            let content = response["content"].as_object();
            if status.starts_with(['4', '5']) {
                let kinds: Vec<&String> = content.into_iter().flatten().map(|(kind, _)| kind).collect();
                want(kinds == ["application/problem+json"], format!("{status} is shown as {kinds:?}"));
                want(
                    text(&response["description"]).contains('`') || status == "422",
                    format!("{status} names no code"),
                );
            } else {
                for (kind, media) in content.into_iter().flatten() {
                    want(has_example(&document, media, 0), format!("{status} {kind} has no example"));
                }
            }
        }
        for (kind, media) in body.into_iter().flatten() {
            want(has_example(&document, media, 0), format!("the body as {kind} has no example"));
        }
        let key = says["parameters"].as_array().is_some_and(|all| all.iter().any(|it| it["name"] == "Idempotency-Key"));
        want(method != "post" || NOT_ONCE.contains(&path) || key, "does not show Idempotency-Key".to_owned());
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[tokio::test]
async fn the_page_and_all_it_loads_come_from_the_binary() {
    let app = TestApp::new().await;
    let page = app.anyone().get("/docs").await.done(200); // After a redirect.
    assert!(page.text.contains("swagger-ui"), "{page:?}");
    let loaded: Vec<&str> = page
        .text
        .split(['"', '\''])
        .filter(|text| [".js", ".css", ".png"].iter().any(|end| text.ends_with(end)))
        .collect();
    assert!(loaded.len() >= 5, "{loaded:?}");
    for asset in loaded {
        let asset = asset.strip_prefix("./").unwrap_or(asset);
        assert!(!asset.contains("//"), "{asset} comes from somewhere else");
        app.anyone().get(&format!("/docs/{asset}")).await.done(200);
    }
    let start = app.anyone().get("/docs/swagger-initializer.js").await.done(200);
    assert!(start.text.contains("/openapi.json"), "the page shows our document");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text"))
}

fn references(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                found(reference);
            }
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// Does this schema, or each of its parts, have an example?
fn has_example(document: &Value, of: &Value, depth: usize) -> bool {
    let of = match of["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap(),
        None => of,
    };
    let part = |part: &Value| depth < 8 && has_example(document, part, depth + 1);
    let parts = |name: &str| of[name].as_array().map(|all| all.iter().filter(|it| it["type"] != "null").any(part));
    if ["example", "examples", "enum", "const", "format"].iter().any(|it| !of[*it].is_null()) || of["type"] == "boolean"
    {
        return true;
    }
    if let Some(fields) = of["properties"].as_object() {
        return fields.values().all(part);
    }
    if of["schema"].is_object() {
        return part(&of["schema"]);
    }
    if of["items"].is_object() {
        return part(&of["items"]);
    }
    parts("oneOf").or(parts("anyOf")).or(parts("allOf")).unwrap_or(false)
}

#[tokio::test]
async fn each_type_of_event_is_described_as_a_webhook() {
    let app = TestApp::new().await;
    let document = app.anyone().get("/openapi.json").await.done(200).body;
    let described: Vec<&String> = document["webhooks"].as_object().unwrap().keys().collect();
    let mut types: Vec<&str> = shared::feed::catalogue::catalogue().iter().map(|one| one.name).collect();
    types.sort_unstable();
    assert_eq!(described, types);
    let body = &document["webhooks"]["order.shipped"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(body["properties"]["type"]["const"], "order.shipped");
    let data = &body["properties"]["data"];
    assert_eq!(data["properties"]["shipments"]["items"]["properties"]["id"]["format"], "uuid", "{data:#}");
    assert_eq!(data["properties"]["number"]["type"], "string");
}
