//! Generated queries, valid and broken ones: none of them makes the API fail.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, FieldDefinition, Type, TypeKind, TypeSystemDefinition};
use testkit::app::TestApp;

use super::{ask, shop};

const QUERIES: u64 = 400;

/// Arguments, of the right and of the wrong kind. MUG, ORDER and CURSOR are replaced by what exists.
const ARGUMENTS: &[&str] = &[
    "first: 1",
    "first: 3",
    "first: 0",
    "first: 2, after: CURSOR",
    "after: \"x\"",
    "id: ORDER",
    "id: MUG",
    "id: \"x\"",
    "sku: \"mug\"",
    "number: \"M-0000000\"",
    "filter: { active: false }",
    "filter: { status: PENDING }",
    "filter: { minPrice: -5 }",
    "filter: { minPrice: 9223372036854775807 }",
    "filter: { q: \"%_\\\\\" }",
    "filter: { q: \"\\u0000\" }",
    "filter: { lowStock: true }",
    "filter: { from: \"2020-01-01T00:00:00Z\", to: \"9999-12-31T23:59:59Z\" }",
    "filter: { email: \"a@b.example\" }",
    "filter: []",
    "filter: { from: \"-262143-01-01T00:00:00Z\" }",
    "filter: null",
    "first: null",
    "filter: { customerId: ORDER }",
];

struct Generator {
    random: u64,
    types: BTreeMap<String, Vec<FieldDefinition>>,
    names: [String; 2],
}

impl Generator {
    fn new(names: [String; 2]) -> Self {
        let mut types = BTreeMap::new();
        for definition in parse_schema(api::graphql::sdl()).unwrap().definitions {
            if let TypeSystemDefinition::Type(definition) = definition
                && let TypeKind::Object(object) = definition.node.kind
            {
                let fields = object.fields.into_iter().map(|field| field.node).collect();
                types.insert(definition.node.name.node.to_string(), fields);
            }
        }
        Self { random: 0, types, names }
    }

    /// A number below `end` (xorshift, so that a seed gives the same query everywhere).
    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % u64::try_from(end).unwrap()).unwrap()
    }

    fn query(&mut self, seed: u64) -> String {
        self.random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut query = String::new();
        self.selection("Query", 0, &mut query);
        for (word, value) in [("ORDER", 0), ("MUG", 1)] {
            query = query.replace(word, &format!("\"{}\"", self.names[value]));
        }
        query = query.replace("CURSOR", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"");
        if self.below(4) == 0 { self.broken(&query) } else { query }
    }

    fn selection(&mut self, object: &str, depth: usize, query: &mut String) {
        query.push_str("{ ");
        for n in 0..=self.below(3) {
            let count = self.types[object].len();
            let at = self.below(count);
            let field = self.types[object][at].clone();
            let of = named(&field.ty.node).to_owned();
            let is_object = self.types.contains_key(&of);
            if is_object && depth > 8 {
                continue;
            }
            if self.below(3) == 0 {
                write!(query, "a{n}: ").unwrap();
            }
            query.push_str(field.name.node.as_str());
            if !field.arguments.is_empty() && self.below(4) > 0 {
                write!(query, "({})", self.argument(&field)).unwrap();
            }
            if self.below(20) == 0 {
                query.push_str(" @include(if: true)");
            }
            query.push(' ');
            if is_object {
                self.selection(&of, depth + 1, query);
            }
        }
        query.push_str("__typename } ");
    }

    /// Mostly one that the field has.
    fn argument(&mut self, field: &FieldDefinition) -> &'static str {
        let has = |text: &str| field.arguments.iter().any(|it| text.starts_with(&format!("{}:", it.node.name.node)));
        let fitting: Vec<_> = ARGUMENTS.iter().filter(|text| has(text)).collect();
        if fitting.is_empty() || self.below(10) == 0 {
            ARGUMENTS[self.below(ARGUMENTS.len())]
        } else {
            fitting[self.below(fitting.len())]
        }
    }

    /// With a piece that is cut out, doubled or replaced.
    fn broken(&mut self, query: &str) -> String {
        let (from, length) = (self.below(query.len()), self.below(8));
        let to = (from + length).min(query.len());
        let piece = match self.below(3) {
            0 => String::new(),
            1 => query[from..to].repeat(2),
            _ => ["{", "}", "\"", "...", "$x", "é", "\u{0}", "[", "#", "@skip", "-1e99"][self.below(11)].to_owned(),
        };
        format!("{}{piece}{}", &query[..from], &query[to..])
    }
}

fn named(of: &Type) -> &str {
    match &of.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => named(inner),
    }
}

#[tokio::test]
async fn no_generated_query_makes_the_api_fail() {
    let app = TestApp::with(&["--rate-limits=off"]).await;
    let order = shop(&app, 3).await[0];
    let (alice, staff) = (app.customer().await, app.staff().await);
    alice.order("mug", "tok_ok").await;
    let mug: uuid::Uuid =
        sqlx::query_scalar("select id from products where sku = 'mug'").fetch_one(&app.db).await.unwrap();
    let mut generator = Generator::new([order.to_string(), mug.to_string()]);
    let mut fine = 0;
    for seed in 0..QUERIES {
        let query = generator.query(seed + 1);
        let reply = ask(if seed % 3 == 0 { &alice } else { &staff }, &query).await;
        let what = format!("seed {seed}: {query}: {:.500}", reply.text);
        assert!([200, 400, 422].contains(&reply.status.as_u16()), "{what}");
        assert!(reply.status != 200 || reply.body["data"].is_object(), "{what}");
        for code in ["internal", "unavailable"] {
            assert!(!reply.text.contains(&format!("\"code\":\"{code}\"")), "{what}");
        }
        fine += u64::from(reply.status == 200);
    }
    assert!(fine > QUERIES / 3, "only {fine} queries were answered");
}
