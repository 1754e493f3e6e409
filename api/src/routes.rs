//! All routes, each with its policy.

use axum::Router;
use axum::http::Method;
use axum::routing::MethodRouter;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::policy::{Access, Policies, Policy};
use crate::{AppState, auth, catalog, customers, docs, health, inventory, ops, orders, users, warehouses};

/// Everything that the API serves.
pub fn all() -> Routes {
    let mut routes = Routes::default()
        .merge(health::routes())
        .merge(auth::routes())
        .merge(users::routes())
        .merge(catalog::routes())
        .merge(customers::routes())
        .merge(warehouses::routes())
        .merge(inventory::routes())
        .merge(orders::routes())
        .merge(ops::routes());
    let mut document = docs::document();
    document.merge(routes.take_document());
    routes.merge(docs::routes(&document))
}

/// Routes with their policies. A route cannot be added without one.
#[derive(Default)]
#[must_use]
pub struct Routes {
    router: OpenApiRouter<AppState>,
    policies: Policies,
}

impl Routes {
    /// Adds one handler with its policy, and completes its part of the OpenAPI document from the policy.
    ///
    /// Panics if `routes!` was given more than one handler.
    pub fn on(mut self, (schemas, mut paths, handler): UtoipaMethodRouter<AppState>, policy: Policy) -> Self {
        let mut handlers = 0;
        for (path, item) in &mut paths.paths {
            for (method, operation) in operations(item) {
                docs::complete(operation, &policy);
                self.policies.add(method, path, policy);
                handlers += 1;
            }
        }
        assert_eq!(handlers, 1, "a policy belongs to one handler");
        Self { router: self.router.routes((schemas, paths, handler)), ..self }
    }

    /// Adds a handler of GET that the OpenAPI document does not show.
    pub fn undocumented(mut self, path: &str, handler: MethodRouter<AppState>, policy: Policy) -> Self {
        self.policies.add(Method::GET, path, policy);
        Self { router: self.router.route(path, handler), ..self }
    }

    pub fn merge(mut self, other: Self) -> Self {
        self.policies.merge(other.policies);
        Self { router: self.router.merge(other.router), ..self }
    }

    pub fn into_parts(self) -> (Router<AppState>, Policies) {
        (self.router.into(), self.policies)
    }

    fn take_document(&mut self) -> OpenApi {
        self.router.to_openapi()
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The table of all routes in Markdown, for `docs/routes.md`.
pub fn markdown() -> String {
    let (_, policies) = all().into_parts();
    let mut rows: Vec<_> = policies.iter().map(|(method, path, policy)| row(method, path, policy)).collect();
    rows.sort();
    let rows: String = rows.into_iter().map(|(_, _, row)| row).collect();
    format!("{HEAD}{rows}")
}

const HEAD: &str = "\
# Routes

Every route of the API with its policy, as declared beside its handler (`routes()` in `api/src`). Generated:
`UPDATE=1 ./dev test routes` rewrites this file, and `./dev test` fails when it is out of date.

- **who**: `anyone`, `signed in`, or the permission that a caller needs.
- **limit**: which rate limit counts the request (`RATE_LIMIT_…`); none for probes.
- **body**: the largest request body, in KiB.
- **key**: the route takes an `Idempotency-Key`.
- **stale**: the answer to a change waits until this process's cache of it is up to date.

| method | path | who | limit | body | key | stale |
| --- | --- | --- | --- | --- | --- | --- |
";

/// Sorted by path, then by method.
fn row(method: &Method, path: &str, policy: &Policy) -> (String, String, String) {
    let who = match policy.access {
        Access::Anyone => "anyone",
        Access::SignedIn => "signed in",
        Access::Needs(permission) => permission.name(),
    };
    let class = policy.class.map_or_else(|| "none".to_owned(), |class| format!("{class:?}").to_lowercase());
    let body = policy.body_limit / 1024;
    let key = if policy.takes_key { "yes" } else { "" };
    let stale = match policy.stale {
        crate::policy::Stale::Nothing => "",
        crate::policy::Stale::Products => "products",
    };
    let row = format!("| {method} | `{path}` | {who} | {class} | {body} | {key} | {stale} |\n");
    (path.to_owned(), method.to_string(), row)
}
