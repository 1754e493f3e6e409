//! The networks by which we count clients. One IPv6 customer has 2^64 addresses, so a limit for each address would be no
//! limit. Writes no table.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A client's network: an IPv4 address, or the /64 or /48 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The least that one client has: the IPv4 address, or the /64 that every IPv6 connection comes with.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            address @ IpAddr::V4(_) => Self { address, prefix: 32 },
            IpAddr::V6(address) => Self::masked(address, 64),
        }
    }

    /// The /48 that an IPv6 client may have: providers give whole /48s to one customer. `None` for IPv4.
    pub fn site(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(Self::masked(address, 48)),
        }
    }

    fn masked(address: Ipv6Addr, prefix: u8) -> Self {
        let mask = u128::MAX << (128 - u32::from(prefix));
        Self { address: Ipv6Addr::from_bits(address.to_bits() & mask).into(), prefix }
    }
}

/// Names the network of a client in a bucket of a limit.
pub fn key(address: Option<IpAddr>) -> String {
    address.map_or_else(String::new, |address| Network::of(address).to_string())
}

/// Names the /48 of an IPv6 client in a bucket of a limit.
pub fn site_key(address: Option<IpAddr>) -> Option<String> {
    Network::site(address?).map(|site| site.to_string())
}

/// As Postgres reads an `inet`: `203.0.113.7`, `2001:db8:1:2::/64`.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "{address}/{}", self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_client_have_one_network() {
        for (address, network, site) in [
            ("203.0.113.7", "203.0.113.7", None),
            ("::ffff:203.0.113.7", "203.0.113.7", None),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64", Some("2001:db8:1::/48")),
            ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64", Some("2001:db8:1::/48")),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64", Some("2001:db8:1::/48")),
            ("2001:db8:2:2::1", "2001:db8:2:2::/64", Some("2001:db8:2::/48")),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(Network::of(address).to_string(), network);
            assert_eq!(Network::site(address).map(|site| site.to_string()).as_deref(), site);
        }
    }
}
