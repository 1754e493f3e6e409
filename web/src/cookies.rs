//! The cookies of pages: how they are read from a request and written into an answer.

use std::fmt::Write as _;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use shared::principal::Surface;

/// How a request came to us. It decides the form of the session's cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Over TLS, to us or to a proxy that we trust.
    Secure,
    /// Plain HTTP from this machine, where browsers refuse the prefix `__Host-`.
    Loopback,
    /// Plain HTTP over a network: nobody signs in there.
    Plain,
}

impl Channel {
    /// `host` is the host that the browser asked for, perhaps with a port.
    pub fn of(over_tls: bool, host: &str) -> Self {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let loopback = name.eq_ignore_ascii_case("localhost")
            || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        match (over_tls, loopback) {
            (true, _) => Self::Secure,
            (false, true) => Self::Loopback,
            (false, false) => Self::Plain,
        }
    }
}

/// The name of the session's cookie.
pub fn session_name(surface: Surface, channel: Channel) -> String {
    match channel {
        Channel::Secure => format!("__Host-millrace-{}", surface.name()),
        Channel::Loopback | Channel::Plain => format!("millrace-{}", surface.name()),
    }
}

/// The value of a cookie of a request.
pub fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// A cookie to set. Scripts cannot read it, and other sites cannot make a browser send it with a form.
pub fn set(name: &str, value: &str, lasts: Option<Duration>, channel: Channel) -> HeaderValue {
    let mut cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax");
    if let Some(lasts) = lasts {
        write!(cookie, "; Max-Age={}", lasts.as_secs()).expect("writing to a string does not fail");
    }
    if channel == Channel::Secure {
        cookie.push_str("; Secure");
    }
    HeaderValue::from_str(&cookie).expect("names and values of our cookies are ASCII")
}

pub fn remove(name: &str, channel: Channel) -> HeaderValue {
    set(name, "", Some(Duration::ZERO), channel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transport_follows_from_tls_and_host() {
        for (tls, host, channel) in [
            (true, "shop.example", Channel::Secure),
            (true, "localhost:8443", Channel::Secure),
            (false, "127.0.0.1:8080", Channel::Loopback),
            (false, "[::1]:8080", Channel::Loopback),
            (false, "LocalHost", Channel::Loopback),
            (false, "localhost.evil.example", Channel::Plain),
            (false, "10.0.0.7", Channel::Plain),
            (false, "", Channel::Plain),
        ] {
            assert_eq!(Channel::of(tls, host), channel, "{tls} {host}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("xmillrace-shop=1; millrace-shop=2;millrace-shopx=3"));
        assert_eq!(read(&headers, "millrace-shop"), Some("2"));
        assert_eq!(read(&headers, "millrace"), None);
    }

    #[test]
    fn a_cookie_over_tls_is_secure() {
        let name = session_name(Surface::Console, Channel::Secure);
        let cookie = set(&name, "x", None, Channel::Secure);
        assert_eq!(cookie, "__Host-millrace-console=x; Path=/; HttpOnly; SameSite=Lax; Secure");
    }
}
