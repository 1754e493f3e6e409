//! IP addresses and networks as people write them, and which addresses belong to the public internet. Writes no table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// Networks that are not the public internet: our own machines and networks, and addresses that belong to nobody.
/// From the IANA special-purpose registries of IPv4 and IPv6.
const NOT_PUBLIC: &[&str] = &[
    "0.0.0.0/8",         // this network
    "10.0.0.0/8",        // private
    "100.64.0.0/10",     // carrier-grade NAT
    "127.0.0.0/8",       // loopback
    "169.254.0.0/16",    // link-local; clouds serve their credentials there
    "172.16.0.0/12",     // private
    "192.0.0.0/24",      // protocol assignments
    "192.0.2.0/24",      // documentation
    "192.31.196.0/24",   // AS112
    "192.52.193.0/24",   // AMT
    "192.88.99.0/24",    // 6to4 relays
    "192.168.0.0/16",    // private
    "192.175.48.0/24",   // AS112
    "198.18.0.0/15",     // benchmarks
    "198.51.100.0/24",   // documentation
    "203.0.113.0/24",    // documentation
    "224.0.0.0/4",       // multicast
    "240.0.0.0/4",       // reserved, broadcast
    "::/96",             // unspecified, loopback, IPv4-compatible
    "::ffff:0:0:0/96",   // IPv4-translated
    "64:ff9b::/96",      // NAT64: an IPv4 address inside, which the gateway reaches for us
    "64:ff9b:1::/48",    // NAT64 of a site
    "100::/64",          // discard
    "100:0:0:1::/64",    // dummy
    "2001::/23",         // protocol assignments, Teredo, ORCHID, benchmarks
    "2001:db8::/32",     // documentation
    "2002::/16",         // 6to4: an IPv4 address inside
    "2620:4f:8000::/48", // AS112
    "3fff::/20",         // documentation
    "5f00::/16",         // segment routing
    "fc00::/7",          // unique local
    "fe80::/10",         // link-local
    "fec0::/10",         // site-local
    "ff00::/8",          // multicast
];

/// Only these IPv6 addresses are given out for the public internet.
const PUBLIC_V6: &str = "2000::/3";

/// An address or a network, as people write them. An address alone is a network of one.
pub fn network(text: &str) -> Option<IpNet> {
    let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    address.or_else(|_| text.parse::<IpNet>().map(|network| network.trunc())).ok()
}

/// Networks that somebody names, in settings separated by commas: `127.0.0.0/8,10.1.0.0/16`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |text: &str| {
            network(text).ok_or_else(|| format!("`{text}` is neither an address nor a network such as 10.1.0.0/16"))
        };
        text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(parse).collect()
    }
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

impl Networks {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An IPv4 address that is written as IPv6 is judged as the IPv4 address that it reaches.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// May anybody on the internet have this address? An IPv4 address that is written as IPv6 is judged as IPv4.
pub fn is_public(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let within =
        |network: &&str| network.parse::<IpNet>().expect("the networks in the code are valid").contains(&address);
    let given_out = match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(_) => within(&PUBLIC_V6),
    };
    given_out && !NOT_PUBLIC.iter().any(within)
}

/// The address in the host of a URL: `127.0.0.1`, `[::1]`. None for a name.
pub fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for (address, public) in [
            ("1.1.1.1", true),
            ("172.32.0.1", true),
            ("100.128.0.1", true),
            ("2606:4700:4700::1111", true),
            ("::ffff:1.1.1.1", true),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("100.64.0.1", false),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("169.254.169.254", false),
            ("172.31.255.255", false),
            ("192.0.2.1", false),
            ("192.88.99.1", false),
            ("192.168.1.1", false),
            ("198.18.0.1", false),
            ("198.51.100.7", false),
            ("203.0.113.7", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::7f00:1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("::ffff:0:127.0.0.1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b:1::a00:1", false),
            ("100::1", false),
            ("2001::1", false),
            ("2001:2::1", false),
            ("2001:db8::1", false),
            ("2002:7f00:1::1", false),
            ("3fff::1", false),
            ("4000::1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }

    #[test]
    fn addresses_and_networks_are_read() {
        for (text, address, inside) in [
            ("203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "203.0.113.8", false),
            ("203.0.113.9/24", "203.0.113.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("::ffff:203.0.113.7", "203.0.113.7", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "203.0.113.7", false),
            ("0.0.0.0/0", "203.0.113.7", true),
        ] {
            let network = network(text).unwrap();
            assert_eq!(network.contains(&address.parse::<IpAddr>().unwrap()), inside, "{address} in {text}");
        }
        for wrong in ["", "x", "10.0.0.0/33", "10.0.0.0/", "10.0.0", "localhost"] {
            assert_eq!(network(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_operator_opens_networks_by_name() {
        let open: Networks = "127.0.0.0/8, 10.1.2.3/16,192.0.2.1,fd00::/8".parse().unwrap();
        for (address, inside) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("fd12::1", true),
            ("::1", false),
        ] {
            assert_eq!(open.contain(address.parse().unwrap()), inside, "{address}");
        }
        assert!(!"".parse::<Networks>().unwrap().contain("127.0.0.1".parse().unwrap()));
        for wrong in ["all", "10.0.0.0/33", "10.0.0.0-10.0.0.9"] {
            assert!(wrong.parse::<Networks>().is_err(), "{wrong}");
        }
    }
}
