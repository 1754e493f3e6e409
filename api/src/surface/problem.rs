//! Writes every error as a problem document (RFC 9457), also errors that a library answered in a form of its own.

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::error::{ApiError, PROBLEM_JSON};
use crate::surface::request_id::RequestId;

/// For every face but pages, which show errors as pages.
pub fn write(mut response: Response, RequestId(request_id): &RequestId) -> Response {
    let status = response.status();
    let error = match response.extensions_mut().remove::<ApiError>() {
        Some(error) => error,
        None if response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON) => {
            return response;
        }
        None if status.is_client_error() || status.is_server_error() => ApiError::of_status(status),
        None => return response,
    };
    let mut written = (status, Json(error.problem(request_id))).into_response();
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            written.headers_mut().append(name, value.clone());
        }
    }
    written.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    written.extensions_mut().insert(error);
    written
}
