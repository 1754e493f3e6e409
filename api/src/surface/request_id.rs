//! The id of a request: in its answer, in its log lines, and in the jobs that it causes.

use axum::extract::Request;
use axum::http::HeaderName;
use uuid::Uuid;

pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Visible ASCII, at most 128 characters.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// The client's own id if it is safe to put into logs, else a new one.
pub fn of(request: &Request) -> RequestId {
    let given = request.headers().get(&X_REQUEST_ID).and_then(|value| value.to_str().ok());
    let safe = given.filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
    RequestId(safe.map_or_else(|| Uuid::now_v7().to_string(), ToOwned::to_owned))
}
