//! Which pages of other origins may call us from a browser (`CORS_ORIGINS`).

use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// After this time a browser repeats its preflight request.
const PREFLIGHT_GOOD_FOR: Duration = Duration::from_hours(1);

/// Request headers that pages may send: those that the API reads.
const SENT: [&str; 5] = ["authorization", "content-type", "idempotency-key", "if-match", "x-request-id"];

/// Response headers that pages may read.
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
        // As browsers write it: scheme, host and perhaps a port, without a slash at the end.
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
    /// `None` if no other origin is allowed. Credentials (cookies) stay forbidden: tokens are sent in a header that the
    /// page itself sets.
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
