//! Where an endpoint may be: the rules for its URL, and for the addresses that its name stands for. Writes no table.
//!
//! A receiver is chosen by staff, but the request comes from inside our network. So inner addresses are refused, unless
//! `WEBHOOK_ALLOW` names their network. The worker judges again where it connects, because a name may point elsewhere by
//! then.

use std::net::IpAddr;

use url::Url;

use crate::error::{Error, Result};
use crate::platform::addresses::{self, Networks};

/// Longer ones are not addresses of receivers.
pub const LONGEST_URL: usize = 2_000;

/// The URL of a receiver, in its normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverUrl {
    pub url: Url,
}

/// Which addresses a target may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reachable {
    /// The public internet, and the networks of `WEBHOOK_ALLOW`.
    Internet,
    /// Only the networks of `WEBHOOK_ALLOW`: plain HTTP, and ports of system services.
    OpenedNetworks,
}

impl ReceiverUrl {
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| Error::field("url", "invalid_url", why.to_owned());
        if text.len() > LONGEST_URL {
            return Err(wrong("it has more than 2,000 characters"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(wrong("it contains white space or control characters"));
        }
        let url = Url::parse(text).map_err(|_| wrong("this is not a URL such as https://shop.example/hooks"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(wrong("the scheme must be https"));
        }
        if !url.username().is_empty() || url.password().is_some() || text.contains('@') && has_userinfo(text) {
            return Err(wrong("it must not contain a user name or a password; deliveries are signed"));
        }
        if url.host_str().is_none_or(str::is_empty) || url.port() == Some(0) {
            return Err(wrong("it has no host, or its port is 0"));
        }
        if url.fragment().is_some() {
            return Err(wrong("it must not contain a fragment (#)"));
        }
        Ok(Self { url })
    }

    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or_default()
    }

    pub fn literal(&self) -> Option<IpAddr> {
        addresses::literal(self.host())
    }

    pub fn reach(&self) -> Reachable {
        let port = self.port();
        if self.url.scheme() == "https" && (port == 443 || port >= 1024) {
            Reachable::Internet
        } else {
            Reachable::OpenedNetworks
        }
    }

    /// Must its name be looked up when it is registered? Names on the internet are judged when we connect only.
    pub fn is_judged_by_name(&self) -> bool {
        let host = self.host().trim_end_matches('.');
        let is_localhost = host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost");
        self.literal().is_none() && (self.reach() == Reachable::OpenedNetworks || is_localhost)
    }

    /// Judges what this URL stands for now, when it is registered or changed. Do not call it in a transaction: it may ask
    /// the DNS.
    pub async fn judge(&self, allowed: &Networks) -> Result<()> {
        let addresses: Vec<IpAddr> = match self.literal() {
            Some(address) => vec![address],
            None if self.is_judged_by_name() => look_up(self.host(), self.port()).await,
            None => return Ok(()),
        };
        if addresses.iter().any(|address| self.reach().includes(*address, allowed)) {
            return Ok(());
        }
        Err(not_allowed(self.reach()))
    }
}

impl Reachable {
    pub fn includes(self, address: IpAddr, allowed: &Networks) -> bool {
        allowed.contain(address) || (self == Self::Internet && addresses::is_public(address))
    }
}

/// `https://@host` has an empty user name, which the parser drops.
fn has_userinfo(text: &str) -> bool {
    let rest = text.split_once(':').map_or(text, |(_, rest)| rest).trim_start_matches(['/', '\\']);
    rest.split(['/', '\\', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

async fn look_up(host: &str, port: u16) -> Vec<IpAddr> {
    let found = tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((host, port))).await;
    found.ok().and_then(std::result::Result::ok).into_iter().flatten().map(|found| found.ip()).collect()
}

/// A resolver that needs longer is broken.
const LOOK_UP: std::time::Duration = std::time::Duration::from_secs(2);

fn not_allowed(reach: Reachable) -> Error {
    let why = match reach {
        Reachable::Internet => "this address is not on the public internet; WEBHOOK_ALLOW can open its network",
        Reachable::OpenedNetworks => {
            "http, and ports below 1024 but 443, are allowed only in the networks that WEBHOOK_ALLOW names"
        }
    };
    Error::field("url", "url_not_allowed", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn urls_are_judged_by_their_form_and_by_what_they_stand_for() {
        let allowed: Networks = "127.0.0.0/8".parse().unwrap();
        for (url, code) in [
            ("https://shop.example/hooks", ""),
            ("https://shop.example:8443/hooks?a=1", ""),
            ("https://1.1.1.1/", ""),
            ("https://127.0.0.1:443/", ""),
            ("https://127.0.0.1:80/", ""),
            ("http://127.0.0.1/", ""),
            ("http://127.0.0.1:9/", ""),
            ("http://2130706433/", ""),
            ("http://0x7f.1/", ""),
            ("http://[::ffff:127.0.0.1]:3000/", ""),
            ("http://localhost:3000/", ""),
            ("http://[::ffff:169.254.169.254]/", "url_not_allowed"),
            ("https://[::ffff:169.254.169.254]/", "url_not_allowed"),
            ("https://169.254.169.254/", "url_not_allowed"),
            ("https://[64:ff9b::a9fe:a9fe]/", "url_not_allowed"),
            ("https://[::1]/", "url_not_allowed"),
            ("https://0/", "url_not_allowed"),
            ("https://3232235777/", "url_not_allowed"),
            ("https://0300.0250.1.1/", "url_not_allowed"),
            ("https://10.0.0.1/", "url_not_allowed"),
            ("http://1.1.1.1/", "url_not_allowed"),
            ("https://1.1.1.1:22/", "url_not_allowed"),
            ("http://name.invalid/", "url_not_allowed"),
            ("https://name.invalid:25/", "url_not_allowed"),
            ("ftp://shop.example/", "invalid_url"),
            ("shop.example/hooks", "invalid_url"),
            ("/hooks", "invalid_url"),
            ("https://", "invalid_url"),
            ("https://user@shop.example/", "invalid_url"),
            ("https://user:password@shop.example/", "invalid_url"),
            ("https://@shop.example/", "invalid_url"),
            ("https://shop.example:0/", "invalid_url"),
            ("https://shop.example:70000/", "invalid_url"),
            ("https://shop.example/#top", "invalid_url"),
            ("https://shop.example/a b", "invalid_url"),
            ("javascript:alert(1)", "invalid_url"),
        ] {
            let judged = match ReceiverUrl::parse(url) {
                Ok(target) => target.judge(&allowed).await,
                Err(error) => Err(error),
            };
            assert_eq!(judged.as_ref().err().map_or("", Error::code), code, "{url}");
        }
        let nothing = Networks::default();
        for url in ["http://localhost:3000/", "https://localhost/", "http://127.0.0.1/", "https://app.localhost/"] {
            assert_eq!(
                ReceiverUrl::parse(url).unwrap().judge(&nothing).await.unwrap_err().code(),
                "url_not_allowed",
                "{url}"
            );
        }
        assert!(ReceiverUrl::parse("https://shop.example/?to=a@b.example").is_ok());
    }
}
