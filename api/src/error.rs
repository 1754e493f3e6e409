//! The form of every error answer (RFC 9457), and the mapping from errors to status codes.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use shared::error::{Error, Kind};
use utoipa::ToSchema;
use web::refusal;

pub const PROBLEM_JSON: &str = "application/problem+json";

/// An error answer. `surface::problem` writes its body, because only the surface knows the request id.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub status: StatusCode,
    pub code: String,
    pub detail: String,
    /// The same for people who look at a page.
    pub words: Box<str>,
    pub errors: Vec<Value>,
    /// Further members of the answer. Boxed, like `words`, because most results carry an error that is never made.
    pub members: Option<Box<Map<String, Value>>>,
    pub retry_after_seconds: Option<u64>,
}

pub type ApiResult<T> = Result<T, ApiError>;

/// The body of an error answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem, as a URN
    #[schema(example = "urn:millrace:problem:insufficient_stock")]
    pub r#type: String,
    #[schema(example = "Conflict")]
    pub title: String,
    #[schema(example = 409)]
    pub status: u16,
    /// A sentence that a person can act on
    pub detail: String,
    /// Stable, for programs
    #[schema(example = "insufficient_stock")]
    pub code: String,
    pub request_id: String,
    /// The fields at fault: `field`, `code`, `message`, and further details for programs
    #[schema(value_type = Vec<Object>)]
    pub errors: Vec<Value>,
    /// What a program needs besides, such as `needed` of `insufficient_scope`
    #[serde(flatten)]
    #[schema(ignore)]
    pub members: Map<String, Value>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let words = refusal::sentence(&detail).into();
        let errors = Vec::new();
        Self { status, code: code.to_owned(), detail, words, errors, members: None, retry_after_seconds: None }
    }

    /// For an error that a library answered: its status is right, but its form is not ours.
    pub fn of_status(status: StatusCode) -> Self {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => ("not_found", "there is nothing at this address; see /docs for what there is"),
            StatusCode::METHOD_NOT_ALLOWED => {
                ("method_not_allowed", "this address does not take this method; see the Allow header")
            }
            StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "the body is larger than this address takes"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                ("unsupported_media_type", "send the body as application/json, and say so in Content-Type")
            }
            StatusCode::REQUEST_TIMEOUT => ("request_timeout", "the body did not arrive in time; nothing was done"),
            StatusCode::GATEWAY_TIMEOUT => ("timeout", "the answer took too long; a GET can be repeated as it is"),
            status if status.is_client_error() => ("bad_request", "the request could not be read"),
            _ => ("internal", "something went wrong on our side"),
        };
        Self::new(status, code, detail)
    }

    /// What it says on a page. The texts for programs name headers and documents.
    pub fn words_for_people(&self) -> String {
        match self.code.as_str() {
            "not_found" => "There is no page at this address.".to_owned(),
            "method_not_allowed" => "This address is no page. Go back and use the button there.".to_owned(),
            "body_too_large" => "That was too large to send.".to_owned(),
            "forbidden_origin" => "This form came from another site, so nothing was done.".to_owned(),
            _ => self.words.to_string(),
        }
    }

    pub fn problem(&self, request_id: &str) -> Problem {
        Problem {
            r#type: format!("urn:millrace:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.clone(),
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
            members: self.members.as_deref().cloned().unwrap_or_default(),
        }
    }
}

fn status_of(error: &Error) -> StatusCode {
    match error.kind() {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Gone => StatusCode::GONE,
        Kind::Stale => StatusCode::PRECONDITION_FAILED,
        Kind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Unknown => StatusCode::GATEWAY_TIMEOUT,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl<E: Into<Error>> From<E> for ApiError {
    fn from(error: E) -> Self {
        let error = error.into();
        // Only the log gets the cause: it can contain names of tables, and values.
        match &error {
            Error::Internal(cause) => tracing::error!(%cause, "a request failed: {cause}"),
            Error::Unavailable(cause) => tracing::warn!(%cause, "the database did not answer: {cause}"),
            _ => {}
        }
        Self {
            status: status_of(&error),
            code: error.code().to_owned(),
            detail: error.to_string(),
            words: refusal::words(&error).into(),
            errors: error.fields(),
            members: Some(error.members()).filter(|members| !members.is_empty()).map(Box::new),
            retry_after_seconds: error.retry_after_seconds(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}
