//! Rate limits of requests: counting them, and the headers that tell the caller.

use axum::http::HeaderName;
use axum::response::Response;
use shared::error::Error;
use shared::platform::limits::{Class, LimitState};

use crate::error::ApiError;
use crate::state::AppState;

static LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
static REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
static RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Counts a request against its subject's limit. `None` while rate limits are off.
pub async fn take(state: &AppState, class: Class, subject: &str) -> Option<LimitState> {
    let limits = &state.settings.rate_limits;
    if !limits.on {
        return None;
    }
    Some(state.limiter.take(class, subject, limits.of(class)).await)
}

/// Writes into an answer how its caller stands with the limit.
pub fn add_headers(response: &mut Response, standing: &LimitState) {
    let headers = response.headers_mut();
    headers.insert(LIMIT.clone(), standing.limit.into());
    headers.insert(REMAINING.clone(), standing.remaining.into());
    headers.insert(RESET.clone(), whole_seconds(standing.reset).into());
}

/// The 429, if the request is one too many.
pub fn refusal(standing: &LimitState) -> Option<ApiError> {
    let retry_after_seconds = whole_seconds(standing.retry_after?);
    Some(Error::RateLimited { retry_after_seconds }.into())
}

fn whole_seconds(duration: std::time::Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}
