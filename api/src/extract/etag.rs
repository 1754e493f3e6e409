//! `ETag` and `If-Match`: two people who edit the same thing do not overwrite each other without noticing.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::error::Error;

use crate::error::ApiError;

/// The version that the client has seen (`If-Match`). `None`: the last write wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IfMatch(pub Option<i32>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let value = value.to_str().unwrap_or_default().trim();
        if value == "*" {
            return Ok(Self(None));
        }
        match value.trim_matches('"').parse() {
            Ok(version) => Ok(Self(Some(version))),
            // A tag that we never issued matches no version.
            Err(_) => Err(Error::VersionMismatch.into()),
        }
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
