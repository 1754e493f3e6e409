//! Which rate limit a request falls under, whose bucket it takes from, and how the answer says so.

use std::net::IpAddr;
use std::str::FromStr;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use shared::error::Error;
use shared::platform::limits::{Class, LimitState};

use crate::AppState;
use crate::error::{ApiError, ApiResult};

static LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
static REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
static RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

fn class_of(method: &Method, path: &str) -> Option<Class> {
    match path {
        // Probes and documents: a health check that is refused takes the service down.
        _ if !path.starts_with("/v1/") => None,
        "/v1/auth/login" | "/v1/auth/register" | "/v1/auth/refresh" | "/v1/me/password" if method == Method::POST => {
            Some(Class::Login)
        }
        "/v1/inventory/bulk" => Some(Class::Bulk),
        "/v1/inventory/movements" => Some(Class::Query),
        _ if method == Method::GET || method == Method::HEAD => Some(Class::Read),
        _ => Some(Class::Write),
    }
}

/// Lets the request through or refuses it, and tells the client how it stands.
pub async fn apply(state: &AppState, subject: &str, request: Request, next: Next) -> ApiResult<Response> {
    let class = class_of(request.method(), request.uri().path()).filter(|_| state.settings.rate_limits.on);
    let Some(class) = class else { return Ok(next.run(request).await) };
    let standing = state.limiter.take(class, subject, state.settings.rate_limits.of(class)).await;
    let mut response = match refusal(&standing) {
        Some(error) => error.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(LIMIT.clone(), standing.limit.into());
    headers.insert(REMAINING.clone(), standing.remaining.into());
    headers.insert(RESET.clone(), whole_seconds(standing.reset).into());
    Ok(response)
}

pub fn refusal(standing: &LimitState) -> Option<ApiError> {
    let retry_after_seconds = whole_seconds(standing.retry_after?);
    Some(Error::RateLimited { retry_after_seconds }.into())
}

fn whole_seconds(duration: std::time::Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

/// The proxies whose `X-Forwarded-For` we believe (`TRUSTED_PROXIES`): addresses and networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = |text: &str| {
            let address = text.parse::<IpAddr>().map(IpNet::from);
            address
                .or_else(|_| text.parse())
                .map_err(|_| format!("`{text}` is not an address or a network such as 10.0.0.0/8"))
        };
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl TrustedProxies {
    /// The address of the client: the last one in the chain that is not a trusted proxy. Anybody can write the entries
    /// before it.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let forwarded: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        let mut client = peer.to_canonical();
        for hop in forwarded.iter().rev() {
            let Ok(hop) = hop.trim().parse::<IpAddr>() else { break };
            if !self.trusts(client) {
                break;
            }
            client = hop.to_canonical();
        }
        client
    }

    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        for (trusted, peer, forwarded, client) in [
            ("", "9.9.9.9", "1.1.1.1", "9.9.9.9"),
            ("10.0.0.0/8", "9.9.9.9", "1.1.1.1", "9.9.9.9"),
            ("10.0.0.0/8", "10.1.2.3", "1.1.1.1", "1.1.1.1"),
            ("10.0.0.0/8", "10.1.2.3", "6.6.6.6, 1.1.1.1", "1.1.1.1"),
            ("10.0.0.0/8", "10.1.2.3", "1.1.1.1, 10.9.9.9", "1.1.1.1"),
            ("10.0.0.0/8", "10.1.2.3", "nonsense", "10.1.2.3"),
            ("::1, 127.0.0.1", "::1", "2001:db8::1", "2001:db8::1"),
            ("0.0.0.0/0", "8.8.8.8", "1.1.1.1", "1.1.1.1"),
            ("10.1.2.3/8", "10.9.9.9", "1.1.1.1", "1.1.1.1"),
            ("2001:db8::/32", "2001:db9::1", "1.1.1.1", "2001:db9::1"),
            ("2001:db8::/32", "2001:db8:1::1", "1.1.1.1", "1.1.1.1"),
            ("0.0.0.0/0", "2001:db8::1", "1.1.1.1", "2001:db8::1"),
        ] {
            let trusted: TrustedProxies = trusted.parse().unwrap();
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", forwarded.parse().unwrap());
            assert_eq!(trusted.client(peer.parse().unwrap(), &headers).to_string(), client);
        }
        for wrong in ["x", "10.0.0.0/33", "10.0.0.0/x"] {
            assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong}");
        }
    }
}
