//! `docs/schema.graphql` is the schema that is served, and a change that breaks clients is noticed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, InputValueDefinition, Type, TypeKind, TypeSystemDefinition};
use serde_json::{Value, json};
use testkit::app::TestApp;

use super::ask;

/// `UPDATE=1 ./dev test schema` rewrites the file; with `BREAKING=1` too if the change breaks clients.
#[test]
fn docs_schema_graphql_is_the_schema_that_is_served() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema.graphql");
    let served = api::graphql::sdl();
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let broken = breaking(&written, &served);
    let may_break = std::env::var_os("BREAKING").is_some();
    assert!(broken.is_empty() || may_break, "this breaks clients (BREAKING=1 if it must be): {broken:#?}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &served).unwrap();
    } else {
        assert!(written == served, "docs/schema.graphql is out of date: UPDATE=1 ./dev test schema rewrites it");
    }
}

#[test]
fn a_breaking_change_is_noticed() {
    let old = "type Query { a(x: Int, y: Int = 1): T  b: Int! } type T { n: Int!  e: E } enum E { ONE TWO } input I { f: Int }";
    for (from, to, what) in [
        ("b: Int!", "", "Query.b is gone"),
        ("b: Int!", "b: Int", "Query.b: Int! became Int"),
        ("n: Int!", "n: [Int!]!", "T.n: Int! became [Int!]!"),
        ("y: Int = 1", "", "Query.a(y) is gone"),
        ("x: Int,", "x: Int!,", "Query.a(x): Int became Int!"),
        ("x: Int,", "x: Int, z: Int!,", "Query.a(z) is required"),
        ("y: Int = 1", "y: Int = 2", "Query.a(y) has another default"),
        ("ONE TWO", "ONE", "E.TWO is gone"),
        ("f: Int", "f: Int g: Int!", "I.g is required"),
        ("f: Int", "f: String", "I.f: Int became String"),
    ] {
        assert_eq!(breaking(old, &old.replacen(from, to, 1)), [what], "{from} -> {to}");
    }
    for (from, to) in [
        ("e: E", "e: E!  more: Int"),
        ("x: Int,", "x: Int, z: Int,"),
        ("f: Int", "f: Int g: Int! = 1"),
        ("ONE TWO", "ONE TWO THREE"),
        ("type T", "type New { n: Int } type T"),
    ] {
        assert_eq!(breaking(old, &old.replacen(from, to, 1)), [""; 0], "{from} -> {to}");
    }
}

/// Fields, values and types by name; for inputs also whether one must be given.
#[derive(Default)]
struct Parts {
    outputs: BTreeMap<String, Type>,
    inputs: BTreeMap<String, (Type, Option<String>)>,
    values: BTreeSet<String>,
}

fn parts(schema: &str) -> Parts {
    let mut parts = Parts::default();
    if schema.trim().is_empty() {
        return parts;
    }
    for definition in parse_schema(schema).unwrap().definitions {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let name = definition.node.name.node.to_string();
        match definition.node.kind {
            TypeKind::Object(object) => {
                for field in object.fields {
                    let here = format!("{name}.{}", field.node.name.node);
                    for argument in &field.node.arguments {
                        let argument = &argument.node;
                        parts.inputs.insert(format!("{here}({})", argument.name.node), input(argument));
                    }
                    parts.outputs.insert(here, field.node.ty.node);
                }
            }
            TypeKind::InputObject(object) => {
                for field in object.fields {
                    parts.inputs.insert(format!("{name}.{}", field.node.name.node), input(&field.node));
                }
            }
            TypeKind::Enum(of) => {
                parts.values.extend(of.values.iter().map(|value| format!("{name}.{}", value.node.value.node)));
            }
            _ => {
                parts.values.insert(name);
            }
        }
    }
    parts
}

fn input(definition: &InputValueDefinition) -> (Type, Option<String>) {
    (definition.ty.node.clone(), definition.default_value.as_ref().map(|default| default.node.to_string()))
}

fn breaking(old: &str, new: &str) -> Vec<String> {
    let (old, new) = (parts(old), parts(new));
    let mut broken = Vec::new();
    for (name, ty) in &old.outputs {
        match new.outputs.get(name) {
            None => broken.push(format!("{name} is gone")),
            Some(now) if !fits(now, ty) => broken.push(format!("{name}: {ty} became {now}")),
            Some(_) => {}
        }
    }
    for (name, (ty, default)) in &old.inputs {
        let field = name.split('(').next().unwrap();
        match new.inputs.get(name) {
            None if name.contains('(') && !new.outputs.contains_key(field) => {}
            None => broken.push(format!("{name} is gone")),
            Some((now, _)) if !fits(ty, now) => broken.push(format!("{name}: {ty} became {now}")),
            Some((_, now)) if now != default => broken.push(format!("{name} has another default")),
            Some(_) => {}
        }
    }
    for (name, (ty, default)) in &new.inputs {
        let owner = name.split(['(', '.']).next().unwrap().to_owned();
        let field = name.split('(').next().unwrap();
        let known = if name.contains('(') {
            old.outputs.contains_key(field)
        } else {
            old.inputs.keys().any(|it| it.starts_with(&format!("{owner}.")))
        };
        if known && !old.inputs.contains_key(name) && !ty.nullable && default.is_none() {
            broken.push(format!("{name} is required"));
        }
    }
    broken.extend(old.values.iter().filter(|name| !new.values.contains(*name)).map(|name| format!("{name} is gone")));
    broken
}

/// May a value of the first type stand where the second is expected?
fn fits(given: &Type, expected: &Type) -> bool {
    let base = match (&given.base, &expected.base) {
        (BaseType::Named(given), BaseType::Named(expected)) => given == expected,
        (BaseType::List(given), BaseType::List(expected)) => fits(given, expected),
        _ => false,
    };
    base && (expected.nullable || !given.nullable)
}

/// What graphql-js sends to learn a schema, and generators with it.
const INTROSPECTION: &str = "query IntrospectionQuery { __schema { queryType { name } mutationType { name } subscriptionType { name }
    types { ...FullType } directives { name description locations args { ...InputValue } } } }
    fragment FullType on __Type { kind name description
      fields(includeDeprecated: true) { name description args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason }
      inputFields { ...InputValue } interfaces { ...TypeRef }
      enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } possibleTypes { ...TypeRef } }
    fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
    fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
      ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";

#[tokio::test]
async fn staff_may_ask_for_the_schema() {
    let app = TestApp::new().await;
    let reply = ask(&app.staff().await, INTROSPECTION).await.done(200);
    assert_eq!(reply.body["errors"], Value::Null);
    let types = reply.body["data"]["__schema"]["types"].as_array().unwrap();
    let order = types.iter().find(|it| it["name"] == "Order").unwrap();
    assert!(order["fields"].as_array().unwrap().iter().any(|field| field["name"] == "customer"));

    // Other machines can reach this one, so it is no development.
    let mut cli = testkit::app::settings(&app.database_url, &[]);
    cli.serve.api_addr = "0.0.0.0:0".parse().unwrap();
    let state = api::serve::state(&cli.common, cli.serve).unwrap();
    let public = TestApp::serve(&app.database_url, state).await;
    ask(&public.customer().await, INTROSPECTION).await.refused(400, "invalid_query");
    ask(&public.customer().await, "{ __type(name: \"Me\") { name } }").await.refused(400, "invalid_query");
    let me = ask(&public.customer().await, "{ __typename me { __typename } }").await.done(200);
    assert_eq!(me.body["data"], json!({ "__typename": "Query", "me": { "__typename": "Me" } }));
    ask(&public.staff().await, INTROSPECTION).await.done(200);
}
