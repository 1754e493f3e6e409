//! What holds for a route besides its handler: who may call it, its rate limit, its body limit, and so on.
//!
//! A route is declared together with its policy (`routes()` of each module). The middlewares in `surface`, the OpenAPI
//! document and `docs/routes.md` all read the policy; none of them decides anything by the path.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, header};
use shared::error::{Error, Result};
use shared::platform::limits::Class;
use shared::principal::{Permission, Principal, ServiceAccount};
use shared::scope::{Scope, Scopes};
use uuid::Uuid;
use web::rule::Site;

/// Room for an order of 100 lines many times over. Bulk stock counts have their own limit.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// The policy of one route. Made by `Policy::read` or `Policy::write`, then adjusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Policy {
    /// Which people may call it.
    pub access: Access,
    /// Which API keys may call it.
    pub keys: KeyAccess,
    /// Which rate limit a request counts against. `None` only for probes: a probe that is refused takes the process out
    /// of service.
    pub class: Option<Class>,
    /// Bytes that a request body may have.
    pub body_limit: usize,
    /// Does the route read `Idempotency-Key`?
    pub takes_key: bool,
    /// What a successful request makes stale.
    pub stale: Stale,
    pub face: Face,
    /// The path parameter that holds an order's id, for the log.
    pub order_param: Option<&'static str>,
    /// May staff call it who must set up a second factor first?
    pub before_totp: bool,
    /// How long a request may wait for news. The time limit of every request begins after that.
    pub waits: Duration,
}

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Also callers without a token. A token that is not valid counts as none.
    Anyone,
    /// Everybody with a valid access token.
    SignedIn,
    Needs(Permission),
}

/// Which API keys open a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAccess {
    /// The route does not say it, so no key opens it. Routes of pages, where nobody has a key; a test refuses it elsewhere.
    Unsaid,
    /// Each valid key.
    Any,
    /// Keys with this scope, or with one that includes it.
    With(Scope),
    /// Keys with the first scope; and keys with the second, for a part of what the route does, which the handler checks.
    WithOrInPart(Scope, Scope),
    /// None.
    Never,
}

/// What a successful request makes stale in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    Nothing,
    /// Products or their stock: the answer waits until the product cache has caught up with the database.
    Products,
}

/// For what kind of client the answers are. It decides their headers and the form of their errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// Data for programs. No cache may keep it, and a browser may not run anything in it.
    Json,
    /// The files of the page at /docs, which a browser may keep and whose scripts it may run.
    Docs,
    /// Pages for people. The caller is known by the cookie of the site, and errors are pages.
    Html(Site),
    /// The stylesheet, the scripts and the font of these pages.
    Asset,
}

impl Policy {
    /// For a route that changes nothing.
    pub const fn read(access: Access) -> Self {
        Self {
            access,
            keys: match access {
                Access::Anyone => KeyAccess::Any,
                Access::SignedIn | Access::Needs(_) => KeyAccess::Unsaid,
            },
            class: Some(Class::Read),
            body_limit: BODY_LIMIT,
            takes_key: false,
            stale: Stale::Nothing,
            face: Face::Json,
            order_param: None,
            before_totp: false,
            waits: Duration::ZERO,
        }
    }

    /// For a route that changes something.
    pub const fn write(access: Access) -> Self {
        Self::read(access).class(Class::Write)
    }

    /// Keys with this scope may call the route.
    pub const fn scope(self, scope: Scope) -> Self {
        self.keys(KeyAccess::With(scope))
    }

    /// No key may call the route.
    pub const fn no_key(self) -> Self {
        self.keys(KeyAccess::Never)
    }

    pub const fn keys(self, keys: KeyAccess) -> Self {
        Self { keys, ..self }
    }

    pub const fn class(self, class: Class) -> Self {
        Self { class: Some(class), ..self }
    }

    pub const fn without_rate_limit(self) -> Self {
        Self { class: None, ..self }
    }

    pub const fn body_limit(self, body_limit: usize) -> Self {
        Self { body_limit, ..self }
    }

    /// The route reads `Idempotency-Key`.
    pub const fn takes_key(self) -> Self {
        Self { takes_key: true, ..self }
    }

    /// The route changes products or their stock.
    pub const fn stales_products(self) -> Self {
        Self { stale: Stale::Products, ..self }
    }

    pub const fn face(self, face: Face) -> Self {
        Self { face, ..self }
    }

    /// The path parameter `id` is an order's.
    pub const fn about_order(self) -> Self {
        Self { order_param: Some("id"), ..self }
    }

    /// Staff may call it who must set up a second factor first.
    pub const fn before_totp(self) -> Self {
        Self { before_totp: true, ..self }
    }

    /// The route waits for news, at most so long.
    pub const fn waits(self, waits: Duration) -> Self {
        Self { waits, ..self }
    }

    /// May this caller call the route? `None` is a caller without a valid token.
    pub fn check(&self, caller: Option<&Principal>) -> Result<()> {
        let needs_totp = caller.is_some_and(Principal::needs_totp);
        if needs_totp && !self.before_totp && self.access != Access::Anyone {
            return Err(Error::TotpSetupRequired);
        }
        match caller.and_then(Principal::service_account) {
            Some(key) => self.keys.check(key),
            None => self.access.check(caller),
        }
    }

    /// For an address or a method that does not exist: it is answered with 404 or 405, and counts like any request. A browser
    /// gets a page.
    fn of_nothing(request: &Request) -> Self {
        let method = request.method();
        let policy = if *method == Method::GET || *method == Method::HEAD {
            Self::read(Access::Anyone)
        } else {
            Self::write(Access::Anyone)
        };
        let path = request.uri().path();
        if wants_a_page(request) && !path.starts_with("/v1/") {
            policy.face(Face::Html(Site::of_path(path)))
        } else {
            policy
        }
    }

    /// The order that the request is about, if its path names one.
    pub fn order_id<'a>(&self, route: &str, path: &'a str) -> Option<&'a str> {
        let param = self.order_param?;
        let is_param = |part: &str| part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) == Some(param);
        let id = path.split('/').nth(route.split('/').position(is_param)?)?;
        Uuid::parse_str(id).ok().map(|_| id)
    }
}

/// Browsers say so when they open a page; programs do not.
fn wants_a_page(request: &Request) -> bool {
    let accepted = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

impl Access {
    fn check(self, caller: Option<&Principal>) -> Result<()> {
        match (self, caller) {
            (Self::Anyone, _) | (Self::SignedIn, Some(_)) => Ok(()),
            (Self::Needs(permission), Some(caller)) => caller.require(permission),
            (Self::SignedIn | Self::Needs(_), None) => Err(Error::Unauthenticated),
        }
    }
}

impl KeyAccess {
    fn check(self, key: &ServiceAccount) -> Result<()> {
        match self {
            Self::Any => Ok(()),
            Self::With(needed) => require(key.scopes, needed, None),
            Self::WithOrInPart(needed, in_part) => require(key.scopes, needed, Some(in_part)),
            Self::Never | Self::Unsaid => Err(Error::NotForKeys),
        }
    }
}

/// The refusal names what would open the whole route.
fn require(scopes: Scopes, needed: Scope, or: Option<Scope>) -> Result<()> {
    if scopes.contain(needed) || or.is_some_and(|or| scopes.contain(or)) {
        return Ok(());
    }
    Err(Error::InsufficientScope { needed: vec![needed.name()] })
}

/// The policies of all routes, by path and method.
#[derive(Debug, Default)]
pub struct Policies(HashMap<String, Vec<(Method, Policy)>>);

impl Policies {
    /// Panics if the route is there already.
    pub fn add(&mut self, method: Method, path: &str, policy: Policy) {
        let methods = self.0.entry(path.to_owned()).or_default();
        assert!(methods.iter().all(|(other, _)| *other != method), "{method} {path} is declared twice");
        methods.push((method, policy));
    }

    /// The policy of the route that the router chose for this request.
    pub fn of(&self, request: &Request) -> Policy {
        let method = request.method();
        let route = request.extensions().get::<MatchedPath>().and_then(|path| self.0.get(path.as_str()));
        // Handlers of GET also answer HEAD.
        let method_of_handler = if *method == Method::HEAD { &Method::GET } else { method };
        let found = route.and_then(|methods| methods.iter().find(|(known, _)| known == method_of_handler));
        found.map_or_else(|| Policy::of_nothing(request), |(_, policy)| *policy)
    }

    /// Every route: its method, its path, its policy.
    pub fn iter(&self) -> impl Iterator<Item = (&Method, &str, &Policy)> {
        self.0
            .iter()
            .flat_map(|(path, methods)| methods.iter().map(move |(method, policy)| (method, path.as_str(), policy)))
    }

    pub fn merge(&mut self, other: Self) {
        for (path, methods) in other.0 {
            for (method, policy) in methods {
                self.add(method, &path, policy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_names_an_order_where_the_route_has_one() {
        let id = "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d01";
        let about_order = Policy::read(Access::SignedIn).about_order();
        for (policy, route, path, order) in [
            (about_order, "/v1/orders/{id}", format!("/v1/orders/{id}"), Some(id)),
            (about_order, "/v1/orders/{id}/events", format!("/v1/orders/{id}/events"), Some(id)),
            (about_order, "/v1/orders/{id}", "/v1/orders/nonsense".to_owned(), None),
            (Policy::read(Access::SignedIn), "/v1/products/{id}", format!("/v1/products/{id}"), None),
        ] {
            assert_eq!(policy.order_id(route, &path), order, "{route} {path}");
        }
    }
}
