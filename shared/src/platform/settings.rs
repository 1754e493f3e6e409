//! The settings that both programs have, and the functions that read durations and the like. Writes no table.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;

use crate::platform::db::fence::Fence;
use crate::platform::db::{Database, DatabaseUrl};
use crate::platform::insecure::Insecure;
use crate::platform::redis::Redis;
use crate::platform::redis::server::Server;

/// Adds the variables of a file `.env`, in this directory or one above, to the environment. It does not overwrite any.
pub fn read_dotenv() -> Result<(), String> {
    match dotenvy::dotenv() {
        Ok(_) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        // The error does not quote the line, because it may contain a secret.
        Err(dotenvy::Error::LineParse(..)) => Err("a line of .env is not NAME=value".to_owned()),
        Err(error) => Err(format!(".env cannot be read: {error}")),
    }
}

/// Reads `500ms`, `15m`, `1h30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; a duration reads like 500ms, 15m or 1h30m"))
}

/// Reads `on` or `off`.
pub fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(format!("`{other}` is neither `on` nor `off`")),
    }
}

/// Reads a duration that is not zero.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than zero".to_owned()),
        longer => Ok(longer),
    }
}

/// The format of log lines (`LOG_FORMAT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Json,
    Pretty,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "pretty" => Ok(Self::Pretty),
            other => Err(format!("`{other}` is neither `json` nor `pretty`")),
        }
    }
}

/// Reads the address of an OpenTelemetry collector.
pub fn endpoint(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') => Ok(text.to_owned()),
        _ => Err("it must be an address such as http://127.0.0.1:4318".to_owned()),
    }
}

/// Reads a share from 0 to 1.
pub fn ratio(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not a number from 0 to 1, such as 0.1");
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(wrong)
}

/// The servers and the log: the same settings for every process of Millrace.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The address of Postgres: `postgres://user:password@host:port/database`, or with `host1:port1,host2:port2` several
    /// servers, one of which is the primary
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,

    /// Connections to Postgres that this process may hold
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub database_max_connections: u32,

    /// The address of Redis: redis://host:port, redis+sentinel://host:port,host:port/name or
    /// redis+cluster://host:port,host:port. Without it Millrace uses Postgres alone and is a little slower
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<SecretString>,

    /// The Redis of the job queue, if it is not the one of `REDIS_URL`
    #[arg(long, env = "QUEUE_REDIS_URL", hide_env_values = true)]
    pub queue_redis_url: Option<SecretString>,

    /// The Redis of caches and rate limits, if it is not the one of `REDIS_URL`
    #[arg(long, env = "CACHE_REDIS_URL", hide_env_values = true)]
    pub cache_redis_url: Option<SecretString>,

    /// The prefix of every key in Redis; it separates several installations of Millrace on one Redis
    #[arg(long, env = "REDIS_PREFIX", default_value = "millrace")]
    pub redis_prefix: String,

    /// The format of log lines: json, or pretty for a terminal
    #[arg(long, env = "LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,

    /// What is logged, such as `info` or `api=debug,info`
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub rust_log: String,

    /// The address of an OpenTelemetry collector (OTLP over HTTP) that receives spans. Without it no spans are sent
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_parser = endpoint)]
    pub otel_exporter_otlp_endpoint: Option<String>,

    /// The share of traces that is sent, from 0 to 1, for traces that start in this process
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value = "1", value_parser = ratio)]
    pub otel_traces_sampler_arg: f64,
}

impl Common {
    /// Reports a wrong setting by its name, before anything is started.
    pub fn check(&self) -> Result<(), String> {
        self.database_url()?;
        for (name, url) in [
            ("REDIS_URL", &self.redis_url),
            ("QUEUE_REDIS_URL", &self.queue_redis_url),
            ("CACHE_REDIS_URL", &self.cache_redis_url),
        ] {
            if let Some(url) = url {
                // The original error is not shown, because it may quote the password.
                Server::parse(url).map_err(|_| {
                    format!(
                        "{name} is not an address such as redis://host:6379, \
                         redis+sentinel://host:26379,host:26379/name or redis+cluster://host:6379,host:6379"
                    )
                })?;
            }
        }
        Ok(())
    }

    /// What is insecure about these settings.
    pub fn insecure(&self) -> Option<Insecure> {
        self.database_url().is_ok_and(|url| url.is_in_the_open()).then_some(Insecure::PlainDatabase)
    }

    fn database_url(&self) -> Result<DatabaseUrl, String> {
        self.database_url.expose_secret().parse().map_err(|why| format!("DATABASE_URL {why}"))
    }

    /// The way of this process to Postgres, for all its pools.
    pub fn database(&self) -> Result<Database, String> {
        let redis = self.queue_redis().map(|url| Redis::open(url, &self.redis_prefix)).transpose();
        let redis = redis.map_err(|error| error.to_string())?;
        Ok(Database::new(self.database_url()?, Fence::new(redis).map_err(|error| error.to_string())?))
    }

    /// The pool of a process that needs only one.
    pub fn pool(&self, application: &str) -> Result<PgPool, String> {
        Ok(self.database()?.pool(self.database_max_connections, application))
    }

    pub fn queue_redis(&self) -> Option<&SecretString> {
        self.queue_redis_url.as_ref().or(self.redis_url.as_ref())
    }

    pub fn cache_redis(&self) -> Option<&SecretString> {
        self.cache_redis_url.as_ref().or(self.redis_url.as_ref())
    }
}

/// The settings of jobs that both programs need: the API enqueues jobs, the worker enqueues the ones that follow.
#[derive(Debug, Clone, Args)]
pub struct JobSettings {
    /// How many times a job is tried before a person must look at it
    #[arg(long, env = "JOB_MAX_ATTEMPTS", default_value_t = 8, value_parser = clap::value_parser!(i32).range(1..=100))]
    pub job_max_attempts: i32,

    /// How long the simulated carrier takes to deliver a shipment
    #[arg(long, env = "DELIVERY_DELAY", default_value = "1m", value_parser = duration)]
    pub delivery_delay: Duration,
}
