//! Reads `DATABASE_URL`, which names one server, or several of which one is the primary. Writes no table.

use std::net::IpAddr;
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// The servers in the order of the URL; at least one.
#[derive(Debug, Clone)]
pub struct Servers(pub(super) Vec<PgConnectOptions>);

impl Servers {
    /// Does a server stand on another machine, and would a connection to it do without TLS?
    pub fn are_in_the_open(&self) -> bool {
        self.0.iter().any(|server| {
            let host = server.get_host();
            let here = server.get_socket().is_some()
                || host.starts_with('/')
                || host == "localhost"
                || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            let tls = matches!(server.get_ssl_mode(), PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull);
            !here && !tls
        })
    }
}

/// Options that name a server or choose among servers. They are refused, because each option applies to all servers.
const NOT_FOR_SEVERAL: [&str; 4] = ["host=", "hostaddr=", "port=", "target_session_attrs="];

/// Several servers are written as in libpq: `postgres://user:password@host1:5432,host2:5433/name`.
///
/// The error does not quote the URL, because the URL contains the password.
impl FromStr for Servers {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "is not an address such as postgres://user:password@host:5432/name";
        let (scheme, rest) = url.split_once("://").ok_or(WRONG)?;
        if !["postgres", "postgresql"].contains(&scheme) {
            return Err(WRONG);
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        // A password may contain a comma or an @.
        let (user, hosts) = authority.rfind('@').map_or(("", authority), |at| authority.split_at(at + 1));
        let hosts: Vec<&str> = hosts.split(',').collect();
        if hosts.len() == 1 {
            return Ok(Self(vec![server(url).ok_or(WRONG)?]));
        }
        if !cfg!(target_os = "linux") {
            return Err("names several servers, which only works on Linux");
        }
        if hosts.iter().any(|host| host.is_empty() || host.starts_with([':', '%'])) {
            return Err("names several servers, and one of them has no name");
        }
        let (_, query) = path.split_once('?').unwrap_or_default();
        if query.split('&').any(|one| NOT_FOR_SEVERAL.iter().any(|name| one.starts_with(name))) {
            return Err("names several servers, so it may not have host, hostaddr, port or target_session_attrs");
        }
        let servers = hosts.iter().map(|host| server(&format!("{scheme}://{user}{host}{path}")));
        let servers: Vec<PgConnectOptions> = servers.collect::<Option<_>>().ok_or(WRONG)?;
        let address = |server: &PgConnectOptions| (server.get_host().to_owned(), server.get_port());
        if (1..servers.len()).any(|at| servers[..at].iter().any(|other| address(other) == address(&servers[at]))) {
            return Err("names the same server twice");
        }
        Ok(Self(servers))
    }
}

/// Removes the brackets of an IPv6 address: sqlx leaves them in the name of the host and then cannot resolve it.
fn server(url: &str) -> Option<PgConnectOptions> {
    let options: PgConnectOptions = url.parse().ok()?;
    let host = options.get_host().trim_matches(['[', ']']).to_owned();
    Some(options.host(&host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_or_several_are_understood() {
        let cases: [(&str, &[(&str, u16)]); 8] = [
            ("postgres://u:p@one/shop", &[("one", 5432)]),
            ("postgresql://u:p@one:6000/shop?sslmode=require", &[("one", 6000)]),
            ("postgres://u:p@[::1]/shop", &[("::1", 5432)]),
            ("postgres://u:p@one,two/shop", &[("one", 5432), ("two", 5432)]),
            ("postgres://u:p@one:1,two,three:3/shop?sslmode=require", &[("one", 1), ("two", 5432), ("three", 3)]),
            ("postgres://u:p,q@r@one:1,two:2/shop", &[("one", 1), ("two", 2)]),
            ("postgres://u@[::1],[fe80::2]:7/shop", &[("::1", 5432), ("fe80::2", 7)]),
            ("postgres://one:1,one:2", &[("one", 1), ("one", 2)]),
        ];
        for (url, expected) in cases {
            let Servers(servers) = url.parse().unwrap();
            let found: Vec<_> = servers.iter().map(|server| (server.get_host(), server.get_port())).collect();
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn every_server_has_the_user_the_database_and_the_options() {
        let Servers(servers) = "postgres://u:p@one,two/shop?sslmode=verify-full".parse().unwrap();
        for server in servers {
            assert_eq!((server.get_username(), server.get_database()), ("u", Some("shop")));
            assert!(matches!(server.get_ssl_mode(), PgSslMode::VerifyFull));
        }
    }

    #[test]
    fn another_machine_without_tls_is_in_the_open() {
        for (url, open) in [
            ("postgres://u:p@127.0.0.1/shop", false),
            ("postgres://u:p@localhost/shop", false),
            ("postgres://u:p@[::1]/shop", false),
            ("postgres://u:p@%2Frun%2Fpostgresql/shop", false),
            ("postgres://u:p@db/shop", true),
            ("postgres://u:p@db/shop?sslmode=prefer", true),
            ("postgres://u:p@db/shop?sslmode=require", false),
            ("postgres://u:p@10.0.0.1/shop?sslmode=verify-full", false),
            ("postgres://u:p@localhost:1,db:2/shop", true),
        ] {
            assert_eq!(url.parse::<Servers>().unwrap().are_in_the_open(), open, "{url}");
        }
    }

    #[test]
    fn nonsense_is_refused_and_not_quoted() {
        for url in [
            "",
            "hunter2",
            "mysql://u:hunter2@one/shop",
            "postgres://u:hunter2@one:many/shop",
            "postgres://u:hunter2@one,/shop",
            "postgres://u:hunter2@,two/shop",
            "postgres://u:hunter2@one:1,:2/shop",
            "postgres://u:hunter2@one,two:70000/shop",
            "postgres://u:hunter2@one,two,one:5432/shop",
            "postgres://u:hunter2@[::1,two/shop",
            "postgres://u:hunter2@%2Frun%2Fpostgresql,two/shop",
            "postgres://u:hunter2@one,two/shop?host=three",
            "postgres://u:hunter2@one,two/shop?sslmode=require&target_session_attrs=any",
        ] {
            let why = url.parse::<Servers>().unwrap_err();
            assert!(!why.contains("hunter2"), "{url}: {why}");
        }
    }
}
