//! All routes, each with its policy.

use axum::http::Method;
use utoipa::openapi::OpenApi;

use crate::pages;
use crate::policy::{Access, Face, KeyAccess, Policy, Stale};
use crate::router::Routes;
use crate::{
    api_keys, auth, bulk, catalog, customers, docs, events, graphql, health, inventory, me, ops, orders,
    service_accounts, users, warehouses, webhooks,
};

/// Every JSON route, and what documents them.
pub fn all() -> Routes {
    let (routes, document) = documented();
    routes.merge(docs::routes(&document))
}

/// The OpenAPI document.
pub fn document() -> OpenApi {
    documented().1
}

fn documented() -> (Routes, OpenApi) {
    let mut routes = without_docs();
    let mut document = docs::document();
    document.merge(routes.take_document());
    (routes, document)
}

/// Everything but /docs and /openapi.json (`DOCS=off`).
pub fn without_docs() -> Routes {
    Routes::default()
        .merge(health::routes())
        .merge(auth::routes())
        .merge(me::routes())
        .merge(users::routes())
        .merge(service_accounts::routes())
        .merge(api_keys::routes())
        .merge(catalog::routes())
        .merge(customers::routes())
        .merge(warehouses::routes())
        .merge(inventory::routes())
        .merge(orders::routes())
        .merge(events::routes())
        .merge(ops::routes())
        .merge(bulk::routes())
        .merge(graphql::routes())
        .merge(webhooks::routes())
}

/// The table of all routes in Markdown, for `docs/routes.md`.
pub fn markdown() -> String {
    let (_, policies) = all().merge(graphql::graphiql::routes(None)).into_parts();
    let mut rows: Vec<_> = policies.iter().map(|(method, path, policy)| row(method, path, policy)).collect();
    let pages = pages::policies(web::rule::Sites { shop: true, console: true });
    rows.extend(pages.iter().map(|(method, path, policy)| row(method, path, policy)));
    rows.sort();
    let rows: String = rows.into_iter().map(|(_, _, row)| row).collect();
    format!("{HEAD}{rows}")
}

const HEAD: &str = "\
# Routes

Every route of the API with its policy, as declared beside its handler (`routes()` in `api/src`). Generated:
`UPDATE=1 ./dev test routes` rewrites this file, and `./dev test` fails when it is out of date.

- **who**: `anyone`, `signed in`, or the permission that a caller needs.
- **scope**: what an API key needs: a scope, `any` (each key opens it), or `no key`. Of two, the second one opens a part
  of the route. Pages take no keys.
- **limit**: which rate limit counts the request (`RATE_LIMIT_…`); none for probes.
- **body**: the largest request body, in KiB.
- **key**: the route takes an `Idempotency-Key`.
- **stale**: the change makes cached products stale; its answer waits until this process no longer shows the old ones.

| method | path | who | scope | limit | body | key | stale |
| --- | --- | --- | --- | --- | --- | --- | --- |
";

/// Sorted by path, then by method.
fn row(method: &Method, path: &str, policy: &Policy) -> (String, String, String) {
    let who = match policy.access {
        Access::Anyone => "anyone",
        Access::SignedIn => "signed in",
        Access::Needs(permission) => permission.name(),
    };
    let scope = if policy.face == Face::Json { scope(policy.keys) } else { String::new() };
    let class = policy.class.map_or_else(|| "none".to_owned(), |class| format!("{class:?}").to_lowercase());
    let body = policy.body_limit / 1024;
    let key = if policy.takes_key { "yes" } else { "" };
    let stale = match policy.stale {
        Stale::Nothing => "",
        Stale::Products => "products",
    };
    let row = format!("| {method} | `{path}` | {who} | {scope} | {class} | {body} | {key} | {stale} |\n");
    (path.to_owned(), method.to_string(), row)
}

fn scope(keys: KeyAccess) -> String {
    match keys {
        KeyAccess::Any => "any".to_owned(),
        KeyAccess::With(scope) => scope.name().to_owned(),
        KeyAccess::WithOrInPart(scope, in_part) => format!("{scope}, {in_part}"),
        KeyAccess::Never => "no key".to_owned(),
        KeyAccess::Unsaid => "?".to_owned(),
    }
}
