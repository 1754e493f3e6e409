//! The settings and commands of `millrace-api`, read once at the start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;
use shared::identity::attempts::AttemptLimits;
use shared::orders::placing::permits::PlacingLimits;
use shared::orders::placing::request::{MaxUnpaid, PlacingTerms};
use shared::platform::http::places::Bounds;
use shared::platform::insecure::Insecure;
use shared::platform::limits::{Class, Limit};
use shared::platform::settings::{Common, JobSettings, duration, on_or_off, positive_duration};
use shared::principal::Role;
use shared::values::{Email, Name};
use shared::webhooks::settings::WebhookSettings;

use crate::surface::cors::Origins;
use crate::surface::proxies::TrustedProxies;
use crate::surface::tls::Tls;

/// Millrace's HTTP API: takes orders, reserves their stock, and enqueues the jobs that workers run.
///
/// Every setting can be given as an option or in the environment (also in a file `.env`).
#[derive(Debug, Parser)]
#[command(name = "millrace-api", version)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub serve: Serve,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Apply pending migrations, then serve (what happens without a command)
    Serve,
    /// Apply pending migrations, or revert some
    Migrate {
        /// Revert the last N migrations instead
        #[arg(long, value_name = "N")]
        down: Option<u32>,
        /// The database role of API and workers, if it is not the one that migrates: it gets its privileges
        #[arg(long, env = "DATABASE_APP_ROLE", value_name = "ROLE")]
        app_role: Option<String>,
    },
    /// Load the demo shop; running it again changes nothing
    Seed {
        /// The folder with the CSV files
        #[arg(default_value = "seed")]
        dir: PathBuf,
        /// Also make the accounts of users.csv, whose passwords everybody knows
        #[arg(long)]
        demo_users: bool,
        /// Make them even if `API_ADDR` is reachable from other machines
        #[arg(long, requires = "demo_users")]
        force: bool,
    },
    /// Ask the API of this machine whether it is ready, at `METRICS_ADDR`; fails if it is not
    Health,
    /// Look after the feed of events
    Feed {
        #[command(subcommand)]
        command: FeedCommand,
    },
    /// Create a user, such as the first administrator
    CreateUser {
        #[arg(long)]
        email: Email,
        /// At least 8 characters; set `MILLRACE_PASSWORD` instead to keep it out of the process list
        #[arg(long, env = "MILLRACE_PASSWORD", hide_env_values = true)]
        password: SecretString,
        #[arg(long, default_value = "customer")]
        role: Role,
        /// The user's name; the e-mail address, if not given
        #[arg(long)]
        name: Option<Name>,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub enum FeedCommand {
    /// After a dump was restored: number every event that is not in the feed. Needs the owner of the schema
    Rebuild,
}

#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// The address of the API; port 0 takes a free port and logs it
    #[arg(long, env = "API_ADDR", default_value = "127.0.0.1:8080")]
    pub api_addr: SocketAddr,

    /// The address of /metrics and of the two probes, apart from the public address
    #[arg(long, env = "METRICS_ADDR", default_value = "127.0.0.1:9091")]
    pub metrics_addr: SocketAddr,

    /// Apply pending migrations at the start
    #[arg(long, env = "AUTO_MIGRATE", default_value_t = true, action = clap::ArgAction::Set)]
    pub auto_migrate: bool,

    /// The key that signs access tokens: Ed25519, PKCS#8 PEM
    #[arg(long, env = "JWT_PRIVATE_KEY", hide_env_values = true, value_name = "PEM", allow_hyphen_values = true)]
    pub jwt_private_key: Option<SecretString>,

    /// A file with that key
    #[arg(long, env = "JWT_PRIVATE_KEY_FILE", value_name = "FILE")]
    pub jwt_private_key_file: Option<PathBuf>,

    /// Public keys whose tokens are still accepted while the key is rotated: PEMs, concatenated
    #[arg(long, env = "JWT_PREVIOUS_PUBLIC_KEYS", value_name = "PEMS", allow_hyphen_values = true)]
    pub jwt_previous_public_keys: Option<String>,

    /// How people reach the API, such as `https://shop.example`; for links. Without it, links name the address that the
    /// request was sent to
    #[arg(long, env = "PUBLIC_URL", value_parser = public_url)]
    pub public_url: Option<String>,

    /// How long an access token is valid
    #[arg(long, env = "ACCESS_TOKEN_TTL", default_value = "15m", value_parser = positive_duration)]
    pub access_token_ttl: Duration,

    /// How long a refresh token is valid
    #[arg(long, env = "REFRESH_TOKEN_TTL", default_value = "7d", value_parser = positive_duration)]
    pub refresh_token_ttl: Duration,

    /// How long a session lasts at most, however often it is refreshed
    #[arg(long, env = "SESSION_MAX_AGE", default_value = "30d", value_parser = positive_duration)]
    pub session_max_age: Duration,

    /// The same for sessions of staff and administrators
    #[arg(long, env = "STAFF_SESSION_MAX_AGE", default_value = "12h", value_parser = positive_duration)]
    pub staff_session_max_age: Duration,

    /// How long a session of staff or an administrator may make no request before it ends
    #[arg(long, env = "STAFF_IDLE", default_value = "30m", value_parser = positive_duration)]
    pub staff_idle: Duration,

    /// Whether staff and administrators need a second factor; without one they may only set it up
    #[arg(long, env = "STAFF_REQUIRE_TOTP", default_value = "off", value_parser = on_or_off, action = clap::ArgAction::Set)]
    pub staff_require_totp: bool,

    /// How long the stock of an unpaid order stays reserved
    #[arg(long, env = "RESERVATION_TTL", default_value = "15m", value_parser = positive_duration)]
    pub reservation_ttl: Duration,

    #[command(flatten)]
    pub jobs: JobSettings,

    /// Unpaid orders that one customer may have; 0: no limit
    #[arg(long, env = "MAX_OPEN_ORDERS", default_value_t = 20)]
    pub max_open_orders: u32,

    #[command(flatten)]
    pub max_unpaid: UnpaidLimits,

    /// Orders that this process places at once; one more is answered 503 `overloaded`
    #[arg(long, env = "MAX_PLACEMENTS_IN_FLIGHT", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_placements_in_flight: u32,

    /// Of these, the orders of one customer's account; 0: no limit
    #[arg(long, env = "MAX_PLACEMENTS_PER_CALLER", default_value_t = 100)]
    pub max_placements_per_caller: u32,

    /// Connections that this process holds at once; one more waits until another is closed
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,

    /// The most connections of one address (IPv6: of one /64 network); one more is closed at once. The address is that of
    /// the connection. `TRUSTED_PROXIES` are exempt, because each stands for many clients
    #[arg(long, env = "MAX_CONNECTIONS_PER_ADDRESS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections_per_address: u32,

    /// Whether /docs and /openapi.json are served
    #[arg(id = "DOCS", long = "docs", env = "DOCS", default_value = "on", value_parser = on_or_off, action = clap::ArgAction::Set)]
    pub docs: bool,

    #[command(flatten)]
    pub pages: PageSettings,

    /// The certificate chain, PEM: with `TLS_KEY` the API serves HTTPS. SIGHUP reloads both files
    #[arg(long, env = "TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key, PEM
    #[arg(long, env = "TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Origins whose pages may call the API from a browser, with commas, such as `https://shop.example`; * is any
    #[arg(long, env = "CORS_ORIGINS", default_value = "", hide_default_value = true)]
    pub cors_origins: Origins,

    #[command(flatten)]
    pub rate_limits: RateLimits,

    #[command(flatten)]
    pub caching: Caching,

    /// Proxies whose X-Forwarded-For is trusted, and which may hold any number of connections: addresses and networks,
    /// with commas
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "", hide_default_value = true)]
    pub trusted_proxies: TrustedProxies,

    #[command(flatten)]
    pub webhooks: WebhookSettings,
}

/// Which pages this process serves.
#[derive(Debug, Clone, Args)]
pub struct PageSettings {
    /// Whether the shop is served at /
    #[arg(id = "SHOP", long = "shop", env = "SHOP", default_value = "on", value_parser = on_or_off, action = clap::ArgAction::Set)]
    pub shop: bool,

    /// Whether the console is served at /console
    #[arg(id = "CONSOLE", long = "console", env = "CONSOLE", default_value = "on", value_parser = on_or_off, action = clap::ArgAction::Set)]
    pub console: bool,

    /// An address of its own for the console, which is then not at `API_ADDR`: keep it inside your network
    #[arg(long, env = "CONSOLE_ADDR")]
    pub console_addr: Option<SocketAddr>,
}

/// What a customer who has never paid for an order may hold unpaid, so that a new account cannot reserve the whole stock.
#[derive(Debug, Clone, Args)]
pub struct UnpaidLimits {
    /// Units that a customer who has never paid for an order may hold unpaid; 0: no limit
    #[arg(long, env = "MAX_UNPAID_UNITS", default_value_t = 500)]
    pub max_unpaid_units: u32,

    /// Percent of a product's stock that such a customer may hold unpaid, but 10 units always; 0: no limit
    #[arg(long, env = "MAX_UNPAID_SHARE", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub max_unpaid_share: u32,

    /// The value that such a customer may hold unpaid, in minor units of a currency; 0: no limit
    #[arg(long, env = "MAX_UNPAID_VALUE", default_value_t = 0)]
    pub max_unpaid_value: u64,
}

#[derive(Debug, Clone, Args)]
pub struct RateLimits {
    /// Rate limits; off for load tests
    #[arg(id = "RATE_LIMITS", long = "rate-limits", env = "RATE_LIMITS", default_value = "on", value_parser = on_or_off, action = clap::ArgAction::Set)]
    pub on: bool,

    /// Signing in, refreshing and registering, per address (IPv6: per /64, and eight times that per /48)
    #[arg(id = "RATE_LIMIT_LOGIN", long = "rate-limit-login", env = "RATE_LIMIT_LOGIN", default_value = "300/1m")]
    pub login: Limit,

    /// New accounts, per address
    #[arg(
        id = "RATE_LIMIT_REGISTER",
        long = "rate-limit-register",
        env = "RATE_LIMIT_REGISTER",
        default_value = "30/1h"
    )]
    pub register: Limit,

    /// Wrong passwords for one account from one address
    #[arg(id = "RATE_LIMIT_ACCOUNT", long = "rate-limit-account", env = "RATE_LIMIT_ACCOUNT", default_value = "10/5m")]
    pub account: Limit,

    /// Wrong passwords for one account from all addresses together; past it, only addresses from which it has signed in
    #[arg(
        id = "RATE_LIMIT_ACCOUNT_ALL",
        long = "rate-limit-account-all",
        env = "RATE_LIMIT_ACCOUNT_ALL",
        default_value = "100/1h"
    )]
    pub account_all: Limit,

    /// Requests that change something, per caller
    #[arg(id = "RATE_LIMIT_WRITE", long = "rate-limit-write", env = "RATE_LIMIT_WRITE", default_value = "1200/1m")]
    pub write: Limit,

    /// Requests that read, per caller
    #[arg(id = "RATE_LIMIT_READ", long = "rate-limit-read", env = "RATE_LIMIT_READ", default_value = "6000/1m")]
    pub read: Limit,

    /// Bulk stock counts, per caller
    #[arg(id = "RATE_LIMIT_BULK", long = "rate-limit-bulk", env = "RATE_LIMIT_BULK", default_value = "10/1m")]
    pub bulk: Limit,

    /// Searches through the stock ledger, per caller
    #[arg(id = "RATE_LIMIT_QUERY", long = "rate-limit-query", env = "RATE_LIMIT_QUERY", default_value = "30/1m")]
    pub query: Limit,
}

impl RateLimits {
    /// `None` while rate limits are off.
    pub fn attempts(&self) -> Option<AttemptLimits> {
        self.on.then_some(AttemptLimits {
            account: self.account,
            account_all: self.account_all,
            register: self.register,
        })
    }

    pub fn of(&self, class: Class) -> Limit {
        match class {
            Class::Login => self.login,
            Class::Register => self.register,
            Class::Account => self.account,
            Class::AccountAll => self.account_all,
            Class::Write => self.write,
            // A key with a limit of its own is not counted by this one.
            Class::Read | Class::Key => self.read,
            Class::Bulk => self.bulk,
            Class::Query => self.query,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct Caching {
    /// Whether products and their stock are served from a cache, up to 2 s old; off for comparison
    #[arg(id = "CACHE", long = "cache", env = "CACHE", default_value = "on", value_parser = on_or_off, action = clap::ArgAction::Set)]
    pub on: bool,

    /// How long this process keeps a product; 0s: only Redis does
    #[arg(long, env = "CACHE_LOCAL_TTL", default_value = "2s", value_parser = a_few_seconds)]
    pub cache_local_ttl: Duration,

    /// How long Redis keeps a product, plus or minus 10 %
    #[arg(long, env = "CACHE_TTL", default_value = "10m", value_parser = positive_duration)]
    pub cache_ttl: Duration,

    /// The same for a product with little stock
    #[arg(long, env = "CACHE_LOW_STOCK_TTL", default_value = "3m", value_parser = positive_duration)]
    pub cache_low_stock_ttl: Duration,
}

impl Caching {
    pub fn settings(&self) -> shared::product_cache::CacheSettings {
        shared::product_cache::CacheSettings {
            on: self.on,
            local_ttl: self.cache_local_ttl,
            ttl: self.cache_ttl,
            low_stock_ttl: self.cache_low_stock_ttl,
        }
    }
}

/// However much fails, no answer may be older than this.
const LONGEST_LOCAL_TTL: Duration = Duration::from_secs(10);

fn a_few_seconds(text: &str) -> Result<Duration, String> {
    let ttl = duration(text)?;
    if ttl > LONGEST_LOCAL_TTL { Err(format!("it must be at most {LONGEST_LOCAL_TTL:?}")) } else { Ok(ttl) }
}

fn public_url(text: &str) -> Result<String, String> {
    match text.parse::<axum::http::Uri>() {
        Ok(url) if matches!(url.scheme_str(), Some("http" | "https")) && url.path() == "/" && url.query().is_none() => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(format!("`{text}` is not an address such as https://shop.example")),
    }
}

impl Serve {
    /// What is insecure about these settings.
    pub fn insecure(&self) -> Vec<Insecure> {
        let plain_http = self.is_public() && self.tls_cert.is_none();
        [
            (!self.rate_limits.on, Insecure::RateLimitsOff),
            (self.cors_origins == Origins::Any, Insecure::AnyOrigin),
            (plain_http, Insecure::PlainHttp),
        ]
        .into_iter()
        .filter_map(|(is_so, insecure)| is_so.then_some(insecure))
        .collect()
    }

    /// Can other machines reach the API?
    pub fn is_public(&self) -> bool {
        !self.api_addr.ip().is_loopback()
    }

    pub fn identity(&self) -> anyhow::Result<shared::identity::authenticate::IdentitySettings> {
        Ok(shared::identity::authenticate::IdentitySettings {
            private_key: self.private_key()?,
            previous_public_keys: self.jwt_previous_public_keys.clone(),
            access_token_ttl: self.access_token_ttl,
            refresh_token_ttl: self.refresh_token_ttl,
            session_max_age: self.session_max_age,
            staff_session_max_age: self.staff_session_max_age,
            staff_idle: self.staff_idle,
            staff_require_totp: self.staff_require_totp,
            caller_believed_for: shared::identity::authenticate::CALLER_BELIEVED_FOR,
        })
    }

    /// The certificate for HTTPS, if one is set.
    pub fn tls(&self) -> anyhow::Result<Option<Tls>> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Ok(Some(Tls::load(cert, key)?)),
            (None, None) => Ok(None),
            (Some(_), None) => anyhow::bail!("TLS_CERT is set and TLS_KEY is missing"),
            (None, Some(_)) => anyhow::bail!("TLS_KEY is set and TLS_CERT is missing"),
        }
    }

    pub fn connections(&self) -> Bounds {
        Bounds { connections: self.max_connections, per_address: self.max_connections_per_address }
    }

    /// The terms of every order that is placed.
    pub fn terms(&self) -> PlacingTerms {
        PlacingTerms {
            reservation_ttl: self.reservation_ttl,
            max_open_orders: self.max_open_orders,
            max_unpaid: MaxUnpaid {
                units: self.max_unpaid.max_unpaid_units,
                share: self.max_unpaid.max_unpaid_share,
                value: self.max_unpaid.max_unpaid_value,
            },
            max_attempts: self.jobs.job_max_attempts,
        }
    }

    pub fn placing_limits(&self) -> PlacingLimits {
        PlacingLimits { of_all: self.max_placements_in_flight, of_one_caller: self.max_placements_per_caller }
    }

    /// The key from the environment or from its file.
    fn private_key(&self) -> anyhow::Result<SecretString> {
        use anyhow::Context;
        match (&self.jwt_private_key, &self.jwt_private_key_file) {
            (Some(pem), _) => Ok(pem.clone()),
            (None, Some(file)) => Ok(std::fs::read_to_string(file)
                .with_context(|| format!("JWT_PRIVATE_KEY_FILE names {}, which cannot be read", file.display()))?
                .into()),
            (None, None) => anyhow::bail!(
                "JWT_PRIVATE_KEY or JWT_PRIVATE_KEY_FILE is missing; make a key with: openssl genpkey -algorithm ed25519 -out jwt.pem"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
