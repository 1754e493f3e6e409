//! Which pages of other origins may call us from a browser (`CORS_ORIGINS`).

use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// A browser asks again after this whether a page may call us.
const PREFLIGHT_GOOD_FOR: Duration = Duration::from_hours(1);

/// What pages may send: what the contract reads.
const SENT: [&str; 5] = ["authorization", "content-type", "idempotency-key", "if-match", "x-request-id"];

/// What pages may read, beside the body.
const READ: [&str; 8] = [
    "etag",
    "idempotent-replayed",
    "location",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "retry-after",
    "x-request-id",
];

/// The origins whose pages may call us from a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    Any,
    These(Vec<HeaderValue>),
}

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // As a browser writes it: scheme, host and perhaps a port, and not even a slash after that.
        let origin = |text: &str| {
            let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            let fine = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', '?', '#', '@', ' ']));
            let origin = HeaderValue::from_str(&text.to_ascii_lowercase()).ok().filter(|_| fine);
            origin.ok_or_else(|| format!("`{text}` is not an origin such as https://shop.example"))
        };
        match text.trim() {
            "*" => Ok(Self::Any),
            text => text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(origin)
                .collect::<Result<_, _>>()
                .map(Self::These),
        }
    }
}

impl Origins {
    /// None where no other origin is allowed. Tokens stand in a header that only a page itself can set, so no cookie is
    /// at risk, and credentials need no permission.
    pub fn layer(&self) -> Option<CorsLayer> {
        let origins = match self {
            Self::Any => AllowOrigin::any(),
            Self::These(none) if none.is_empty() => return None,
            Self::These(origins) => AllowOrigin::list(origins.clone()),
        };
        let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        let cors = CorsLayer::new().allow_origin(origins).allow_methods(methods).max_age(PREFLIGHT_GOOD_FOR);
        Some(cors.allow_headers(SENT.map(HeaderName::from_static)).expose_headers(READ.map(HeaderName::from_static)))
    }
}
