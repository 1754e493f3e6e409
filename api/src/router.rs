//! The type in which each module declares its routes: a handler together with its policy.

use axum::Router;
use axum::http::Method;
use axum::routing::MethodRouter;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::operations;
use crate::policy::{Policies, Policy};
use crate::state::AppState;

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
            for (method, operation) in operations_of(item) {
                operations::complete(operation, &policy);
                operations::relax_body(operation, &schemas);
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

    /// Adds a handler that the OpenAPI document does not show, because it is a page.
    pub fn page(mut self, method: Method, path: &str, handler: MethodRouter<AppState>, policy: Policy) -> Self {
        self.policies.add(method, path, policy);
        Self { router: self.router.route(path, handler), ..self }
    }

    pub fn merge(mut self, other: Self) -> Self {
        self.policies.merge(other.policies);
        Self { router: self.router.merge(other.router), ..self }
    }

    pub fn into_parts(self) -> (Router<AppState>, Policies) {
        (self.router.into(), self.policies)
    }

    pub fn take_document(&mut self) -> OpenApi {
        self.router.to_openapi()
    }
}

fn operations_of(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
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
