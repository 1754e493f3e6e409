//! Reads `DATABASE_URL`. Writes no table.

use std::net::IpAddr;
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// The address of Postgres, with the login.
#[derive(Debug, Clone)]
pub struct DatabaseUrl(pub(super) PgConnectOptions);

impl DatabaseUrl {
    /// Does the server stand on another machine, and would a connection to it do without TLS?
    pub fn is_in_the_open(&self) -> bool {
        let host = self.0.get_host();
        let here = self.0.get_socket().is_some()
            || host.starts_with('/')
            || host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let tls = matches!(self.0.get_ssl_mode(), PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull);
        !here && !tls
    }
}

/// The error does not quote the URL, because the URL contains the password.
impl FromStr for DatabaseUrl {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "is not an address such as postgres://user:password@host:5432/name";
        let (scheme, rest) = url.split_once("://").ok_or(WRONG)?;
        if !["postgres", "postgresql"].contains(&scheme) {
            return Err(WRONG);
        }
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        // A password may contain a comma or an @.
        let hosts = authority.rsplit_once('@').map_or(authority, |(_login, hosts)| hosts);
        if hosts.contains(',') {
            return Err("names several servers. Name one address that leads to the primary, such as HAProxy's: \
                        docs/deploying.md, \"Postgres beyond one server\"");
        }
        let options: PgConnectOptions = url.parse().map_err(|_| WRONG)?;
        // sqlx leaves the brackets of an IPv6 address in the name of the host and then cannot resolve it.
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        Ok(Self(options.host(&host)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read() {
        for (url, host, port) in [
            ("postgres://u:p@one/shop", "one", 5432),
            ("postgresql://one:5433", "one", 5433),
            ("postgres://u:p,w@[::1]:5433/shop?sslmode=require", "::1", 5433),
            ("postgres://u:p@w@one/shop?options[search_path]=a,public", "one", 5432),
        ] {
            let DatabaseUrl(options) = url.parse().unwrap();
            assert_eq!((options.get_host(), options.get_port()), (host, port), "{url}");
        }
    }

    #[test]
    fn a_server_elsewhere_without_tls_is_in_the_open() {
        for (url, open) in [
            ("postgres://u:p@127.0.0.1/shop", false),
            ("postgres://u:p@localhost/shop", false),
            ("postgres://u:p@[::1]/shop", false),
            ("postgres://u:p@%2Frun%2Fpostgresql/shop", false),
            ("postgres://u:p@db/shop", true),
            ("postgres://u:p@db/shop?sslmode=prefer", true),
            ("postgres://u:p@db/shop?sslmode=require", false),
            ("postgres://u:p@10.0.0.1/shop?sslmode=verify-full", false),
        ] {
            assert_eq!(url.parse::<DatabaseUrl>().unwrap().is_in_the_open(), open, "{url}");
        }
    }

    #[test]
    fn nonsense_is_refused_and_not_quoted() {
        for url in [
            "",
            "hunter2",
            "mysql://u:hunter2@one/shop",
            "postgres://u:hunter2@one:many/shop",
            "postgres://u:hunter2@one:70000/shop",
            "postgres://u:hunter2@one:5432,two:5432/shop",
            "postgres://u:hunter2@one,/shop",
        ] {
            let why = url.parse::<DatabaseUrl>().unwrap_err();
            assert!(!why.contains("hunter2"), "{url}: {why}");
        }
    }
}
