//! Rate limits of requests: counting them, and the headers that tell the caller. Also which proxies we trust.

use std::net::IpAddr;
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;
use ipnet::IpNet;
use shared::error::Error;
use shared::platform::limits::{Class, LimitState};

use crate::AppState;
use crate::error::ApiError;

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

/// The proxies whose `X-Forwarded-For` we trust (`TRUSTED_PROXIES`): addresses and networks.
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
