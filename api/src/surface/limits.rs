//! Rate limits of requests: counting them, and the headers that tell the caller.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::HeaderName;
use axum::response::Response;
use shared::error::Error;
use shared::platform::limits::{Class, Limit, LimitState, OF_A_SITE};
use shared::platform::networks;
use shared::principal::ServiceAccount;
use shared::values::{ApiKeyId, UserId};

use crate::error::ApiError;
use crate::state::AppState;

static LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
static REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
static RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// For whom a request counts.
#[derive(Debug, Clone, Copy)]
pub enum Subject {
    User(UserId),
    /// A key, and its own limit for requests of all classes together.
    Key(ApiKeyId, Option<u32>),
    Address(Option<IpAddr>),
}

impl From<&ServiceAccount> for Subject {
    fn from(account: &ServiceAccount) -> Self {
        Self::Key(account.key_id, account.limit_per_minute)
    }
}

/// Counts a request against its subject's limit. `None` while rate limits are off.
pub async fn take(state: &AppState, class: Class, subject: Subject) -> Option<LimitState> {
    let limits = &state.settings.rate_limits;
    if !limits.on {
        return None;
    }
    let (class, limit) = match subject {
        Subject::Key(_, Some(requests)) => (Class::Key, Limit { requests, per: Duration::from_mins(1) }),
        _ => (class, limits.of(class)),
    };
    let (key, site) = match subject {
        Subject::User(id) => (id.to_string(), None),
        Subject::Key(id, _) => (id.to_string(), None),
        Subject::Address(address) => (networks::key(address), networks::site_key(address)),
    };
    let standing = state.limiter.take(class, &key, limit).await;
    match site {
        Some(site) if standing.retry_after.is_none() => {
            let of_site = state.limiter.take(class, &site, limit.times(OF_A_SITE)).await;
            Some(if of_site.retry_after.is_some() { of_site } else { standing })
        }
        _ => Some(standing),
    }
}

/// Writes into an answer how its caller stands with the limit.
pub fn add_headers(response: &mut Response, standing: &LimitState) {
    let headers = response.headers_mut();
    headers.insert(LIMIT.clone(), standing.limit.into());
    headers.insert(REMAINING.clone(), standing.remaining.into());
    headers.insert(RESET.clone(), standing.reset_seconds().into());
}

/// The 429, if the request is one too many.
pub fn refusal(standing: &LimitState) -> Option<ApiError> {
    let retry_after_seconds = standing.retry_after_seconds()?;
    Some(Error::RateLimited { retry_after_seconds }.into())
}
