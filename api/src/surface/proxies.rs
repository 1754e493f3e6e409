//! Which proxies we trust, and the address of the client behind them.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Once;

use axum::http::HeaderMap;
use shared::platform::addresses::Networks;

/// The proxies whose `X-Forwarded-For` we trust (`TRUSTED_PROXIES`): addresses and networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Networks);

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
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
        if !forwarded.is_empty() && !self.trusts(client) {
            warn_of_untrusted(client);
        }
        for hop in forwarded.iter().rev() {
            let Some(hop) = address_of(hop.trim()) else { break };
            if !self.trusts(client) {
                break;
            }
            client = hop.to_canonical();
        }
        client
    }

    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.contain(address)
    }
}

/// The address of an entry. Some proxies add the port (`203.0.113.9:4711`), and put IPv6 into brackets.
fn address_of(hop: &str) -> Option<IpAddr> {
    let address = hop.parse().or_else(|_| hop.parse::<SocketAddr>().map(|it| it.ip()));
    address.ok().or_else(|| hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

/// Once per process: a proxy that is not trusted makes all its clients one, which its operator should know. A client that
/// forges the header must not fill the log.
fn warn_of_untrusted(peer: IpAddr) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            %peer,
            "X-Forwarded-For came from {peer}, which TRUSTED_PROXIES does not name, so it was ignored. If {peer} is your proxy, \
             add it to TRUSTED_PROXIES: until then all its clients share one rate limit. Otherwise a client forged the header."
        );
    });
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
            ("10.0.0.0/8", "10.1.2.3", "203.0.113.9:4711", "203.0.113.9"),
            ("10.0.0.0/8", "10.1.2.3", "[2001:db8::9]:4711", "2001:db8::9"),
            ("10.0.0.0/8", "10.1.2.3", "[2001:db8::9]", "2001:db8::9"),
            ("10.0.0.0/8", "10.1.2.3", "1.1.1.1, 10.9.9.9:80", "1.1.1.1"),
            ("10.0.0.0/8", "10.1.2.3", "203.0.113.9:port", "10.1.2.3"),
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
