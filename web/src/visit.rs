//! Who looks at a page, and how they want to see it. Every page takes one.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use shared::error::{Error, Result};
use shared::principal::{Permission, Person, Principal, Source};
use shared::queue::Origin;

use crate::rule::{Site, Sites};

/// The signed-in visitor of a site, put into the request by the API after it has checked the cookie.
#[derive(Debug, Clone)]
pub struct Visitor(pub Arc<Principal>);

/// One request for a page.
#[derive(Debug, Clone)]
pub struct Visit {
    pub site: Site,
    /// What the same listener serves.
    pub sites: Sites,
    pub visitor: Option<Visitor>,
    pub zone: Tz,
    pub theme: Theme,
    /// Path and query, for links that lead back here.
    pub here: String,
    /// What was just done, from the query: the page says so.
    pub done: Option<String>,
    pub origin: Origin,
    pub source: Source,
    pub now: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub fn parse(text: &str) -> Self {
        match text {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::System,
        }
    }
}

/// Cookies that say how somebody wants to see pages. They are no secrets, and scripts may set them.
pub const ZONE_COOKIE: &str = "millrace-zone";
pub const THEME_COOKIE: &str = "millrace-theme";

impl Visit {
    /// The signed-in visitor. Pages for signed-in people only have one.
    pub fn principal(&self) -> Result<&Principal> {
        self.visitor.as_ref().map(|visitor| &*visitor.0).ok_or(Error::Unauthenticated)
    }

    pub fn person(&self) -> Option<&Person> {
        self.visitor.as_ref().and_then(|visitor| visitor.0.require_person().ok())
    }

    pub fn may(&self, permission: Permission) -> bool {
        self.visitor.as_ref().is_some_and(|visitor| visitor.0.may(permission))
    }

    /// The path of this page, without its query.
    pub fn path(&self) -> &str {
        self.here.split('?').next().unwrap_or("/")
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

impl Visit {
    pub fn of(parts: &Parts) -> Self {
        let here = parts.uri.path_and_query().map_or("/", |here| here.as_str()).to_owned();
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let done = form_urlencoded::parse(query).find(|(name, _)| name == "done").map(|(_, done)| done.into_owned());
        Self {
            site: Site::of_path(parts.uri.path()),
            sites: parts.extensions.get::<Sites>().copied().unwrap_or(Sites { shop: true, console: true }),
            visitor: parts.extensions.get::<Visitor>().cloned(),
            zone: cookie(&parts.headers, ZONE_COOKIE).and_then(|zone| zone.parse().ok()).unwrap_or(Tz::UTC),
            theme: cookie(&parts.headers, THEME_COOKIE).map_or(Theme::System, Theme::parse),
            here,
            done,
            origin: parts.extensions.get::<Origin>().cloned().unwrap_or_default(),
            source: parts.extensions.get::<Source>().cloned().unwrap_or_default(),
            now: Utc::now(),
        }
    }
}

/// The value of a cookie. Of two with the same name the first counts, as browsers send the most specific one first.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(found, value)| (found == name).then_some(value))
}
