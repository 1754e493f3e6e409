//! What holds for a page besides its handler. The API turns each rule into a policy, so pages are limited, counted and
//! logged like every other route.

use axum::http::Method;
use axum::routing::{MethodRouter, get, post};
use shared::identity::sessions::Surface;
use shared::principal::Permission;

use crate::WebState;

/// The two parts that people see. Each has its own cookie: who is signed in to the shop is nobody in the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    Shop,
    Console,
}

impl Site {
    pub const fn surface(self) -> Surface {
        match self {
            Self::Shop => Surface::Shop,
            Self::Console => Surface::Console,
        }
    }

    pub const fn home(self) -> &'static str {
        match self {
            Self::Shop => "/",
            Self::Console => "/console",
        }
    }

    pub const fn sign_in(self) -> &'static str {
        match self {
            Self::Shop => "/signin",
            Self::Console => "/console/signin",
        }
    }

    /// The site of an address that has no page.
    pub fn of_path(path: &str) -> Self {
        if path == "/console" || path.starts_with("/console/") { Self::Console } else { Self::Shop }
    }
}

/// Which of them a listener serves. Pages link only to what the same visitor can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sites {
    pub shop: bool,
    pub console: bool,
}

/// Who may open a page or send a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visitors {
    Anyone,
    SignedIn,
    With(Permission),
}

/// Which rate limit counts a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Read,
    Write,
    /// It takes a password or a code.
    Password,
    Bulk,
}

/// What holds for a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Rule {
    pub site: Site,
    pub visitors: Visitors,
    pub weight: Weight,
    /// Does it change products or their stock?
    pub changes_products: bool,
    /// May staff open it who must set up a second factor first?
    pub before_totp: bool,
    /// Bytes that a form may have.
    pub form_limit: usize,
    /// Is it a file that every visitor may keep?
    pub is_asset: bool,
}

impl Rule {
    /// Room for every form of ours many times over.
    const FORM_LIMIT: usize = 64 * 1024;
    /// Read before we know who sends it.
    const CREDENTIALS_LIMIT: usize = 8 * 1024;

    pub const fn read(site: Site, visitors: Visitors) -> Self {
        Self {
            site,
            visitors,
            weight: Weight::Read,
            changes_products: false,
            before_totp: false,
            form_limit: Self::FORM_LIMIT,
            is_asset: false,
        }
    }

    pub const fn write(site: Site, visitors: Visitors) -> Self {
        Self { weight: Weight::Write, ..Self::read(site, visitors) }
    }

    pub const fn password(self) -> Self {
        Self { weight: Weight::Password, form_limit: Self::CREDENTIALS_LIMIT, ..self }
    }

    pub const fn bulk(self, form_limit: usize) -> Self {
        Self { weight: Weight::Bulk, form_limit, ..self }
    }

    pub const fn changes_products(self) -> Self {
        Self { changes_products: true, ..self }
    }

    pub const fn before_totp(self) -> Self {
        Self { before_totp: true, ..self }
    }

    pub const fn asset(self) -> Self {
        Self { is_asset: true, ..self }
    }
}

/// A page of the console that staff read.
pub const fn reads(needs: Permission) -> Rule {
    Rule::read(Site::Console, Visitors::With(needs))
}

/// A form of the console that changes something.
pub const fn changes(needs: Permission) -> Rule {
    Rule::write(Site::Console, Visitors::With(needs))
}

/// A handler with its rule.
pub struct PageRoute {
    pub method: Method,
    pub path: &'static str,
    pub handler: MethodRouter<WebState>,
    pub rule: Rule,
}

/// Routes with their rules. A page cannot be added without one.
#[derive(Default)]
#[must_use]
pub struct PageRoutes(Vec<PageRoute>);

impl PageRoutes {
    pub fn page<H, T>(mut self, path: &'static str, handler: H, rule: Rule) -> Self
    where
        H: axum::handler::Handler<T, WebState>,
        T: 'static,
    {
        self.0.push(PageRoute { method: Method::GET, path, handler: get(handler), rule });
        self
    }

    pub fn form<H, T>(mut self, path: &'static str, handler: H, rule: Rule) -> Self
    where
        H: axum::handler::Handler<T, WebState>,
        T: 'static,
    {
        self.0.push(PageRoute { method: Method::POST, path, handler: post(handler), rule });
        self
    }

    pub fn merge(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The routes whose rule is as asked for.
    pub fn only(mut self, keep: impl Fn(&Rule) -> bool) -> Self {
        self.0.retain(|route| keep(&route.rule));
        self
    }

    pub fn into_vec(self) -> Vec<PageRoute> {
        self.0
    }
}
