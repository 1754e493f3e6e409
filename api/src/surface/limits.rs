//! Rate limits of requests and of guesses at passwords: counting them, and the headers that tell the caller.

use std::net::IpAddr;

use axum::http::HeaderName;
use axum::response::Response;
use shared::error::Error;
use shared::identity::known_networks::{self, Account};
use shared::identity::metrics::SignInOutcome;
use shared::platform::limits::{Class, Limit, LimitState};
use shared::platform::networks::Network;
use shared::principal::Source;
use shared::values::UserId;

use crate::error::{ApiError, ApiResult};
use crate::state::AppState;

static LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
static REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
static RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// A /48 of IPv6 may have this many times what a /64 may have: it can be one home, and it can be a company.
pub const OF_A_SITE: u32 = 8;

/// For whom a request counts.
#[derive(Debug, Clone, Copy)]
pub enum Subject {
    User(UserId),
    Address(Option<IpAddr>),
}

/// Counts a request against its subject's limit. `None` while rate limits are off.
pub async fn take(state: &AppState, class: Class, subject: Subject) -> Option<LimitState> {
    let limits = &state.settings.rate_limits;
    if !limits.on {
        return None;
    }
    let limit = limits.of(class);
    let (key, site) = match subject {
        Subject::User(id) => (id.to_string(), None),
        Subject::Address(address) => (network_key(address), site_key(address)),
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
    headers.insert(RESET.clone(), whole_seconds(standing.reset).into());
}

/// The 429, if the request is one too many.
pub fn refusal(standing: &LimitState) -> Option<ApiError> {
    let retry_after_seconds = whole_seconds(standing.retry_after?);
    Some(Error::RateLimited { retry_after_seconds }.into())
}

/// Runs an attempt to use a password or a code, unless too many were wrong for this account. An account that does not
/// exist is treated alike.
///
/// Each attempt counts for the account and the network it comes from, and for the account over all networks. When the
/// second limit is used up, only networks from which the account has signed in lately may go on, within the first limit.
/// So many addresses do not make many guesses, and nobody locks the owner out of the places where they sign in.
///
/// An attempt is counted before it runs, so that attempts in parallel count too; one that was not wrong is given back.
pub async fn attempt<T>(
    state: &AppState,
    account: &Account,
    key: &str,
    source: &Source,
    attempt: impl Future<Output = Result<T, Error>>,
) -> ApiResult<T> {
    let mut taken = Vec::new();
    for (class, subject, limit) in buckets(state, key, source.address) {
        let Some(refusal) = refusal(&state.limiter.take(class, &subject, limit).await) else {
            taken.push((class, subject, limit));
            continue;
        };
        if class == Class::AccountAll && is_known(state, account, source.address).await? {
            continue;
        }
        give_back(state, taken).await;
        state.identity.metrics.count(SignInOutcome::Refused);
        return Err(refusal);
    }
    let outcome = attempt.await;
    if !matches!(outcome, Err(Error::InvalidCredentials | Error::InvalidCode)) {
        give_back(state, taken).await;
    }
    Ok(outcome?)
}

/// The buckets that an attempt counts in. None while rate limits are off.
fn buckets(state: &AppState, account: &str, address: Option<IpAddr>) -> Vec<(Class, String, Limit)> {
    let limits = &state.settings.rate_limits;
    if !limits.on {
        return Vec::new();
    }
    let mut buckets = vec![(Class::Account, format!("{account}|{}", network_key(address)), limits.account)];
    if let Some(site) = site_key(address) {
        buckets.push((Class::Account, format!("{account}|{site}"), limits.account.times(OF_A_SITE)));
    }
    buckets.push((Class::AccountAll, account.to_owned(), limits.account_all));
    buckets
}

async fn is_known(state: &AppState, account: &Account, address: Option<IpAddr>) -> ApiResult<bool> {
    match address {
        Some(address) => Ok(known_networks::knows(&state.db, account, Network::of(address)).await?),
        None => Ok(false),
    }
}

async fn give_back(state: &AppState, taken: Vec<(Class, String, Limit)>) {
    for (class, subject, limit) in taken {
        state.limiter.give_back(class, &subject, limit).await;
    }
}

fn network_key(address: Option<IpAddr>) -> String {
    address.map_or_else(String::new, |address| Network::of(address).to_string())
}

fn site_key(address: Option<IpAddr>) -> Option<String> {
    Network::site(address?).map(|site| site.to_string())
}

fn whole_seconds(duration: std::time::Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}
