//! `ETag` and `If-Match`: two people who edit the same thing do not overwrite each other without noticing.

use std::convert::Infallible;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The version that the client has seen (`If-Match`). `None`: the last write wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IfMatch(pub Option<i32>);

/// Stands for a tag that we never issued. Versions begin at 1, so it matches none.
const NEVER_ISSUED: i32 = -1;

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Infallible;

    /// Refuses nothing itself: a request whose body is wrong too is told about its body.
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let value = value.to_str().unwrap_or_default().trim();
        if value == "*" {
            return Ok(Self(None));
        }
        Ok(Self(Some(value.trim_matches('"').parse().unwrap_or(NEVER_ISSUED))))
    }
}

pub fn of(version: i32) -> String {
    format!("\"{version}\"")
}

/// An answer with its version in `ETag`.
pub struct Tagged<T>(pub i32, pub T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        ([(header::ETAG, of(self.0))], Json(self.1)).into_response()
    }
}
