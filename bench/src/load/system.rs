//! The measured system: servers, real processes of ours, and the bare handler beside them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use secrecy::SecretString;
use serde::Serialize;
use servers::home::Home;
use servers::postgres::{Postgres, Stop};
use servers::process::Process;
use servers::redis::Redis;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use super::requests::ProductSet;
use super::settings::Settings;
use super::usage::{self, Usage};

/// A common configuration for speed without data loss. Everything that is measured uses it. Statements are counted only
/// where they are reported, because counting costs more if there are many statements.
const POSTGRES: [&str; 6] = [
    "shared_buffers=1GB",
    "max_wal_size=8GB",
    "checkpoint_timeout=15min",
    "shared_preload_libraries=pg_stat_statements",
    "pg_stat_statements.track=none",
    "track_activity_query_size=1024",
];

/// The settings of every measured API process.
const API: [(&str, &str); 9] = [
    ("RATE_LIMITS", "off"),
    ("MAX_CONNECTIONS_PER_ADDRESS", "10000"),
    ("MAX_OPEN_ORDERS", "0"),
    ("MAX_UNPAID_UNITS", "0"),
    ("MAX_UNPAID_SHARE", "0"),
    ("MAX_PLACEMENTS_PER_CALLER", "0"),
    ("AUTO_MIGRATE", "false"),
    ("ACCESS_TOKEN_TTL", "12h"),
    ("RUST_LOG", "warn,api::serve=info"),
];

pub struct System {
    pub home: Home,
    pub bins: PathBuf,
    postgres: Postgres,
    pub redis: Redis,
    pub main: Database,
}

/// A migrated database with the products of the load tests.
pub struct Database {
    pub url: String,
    pub db: PgPool,
    pub products: ProductSet,
}

impl Database {
    async fn open(url: String) -> Result<Self> {
        let db = shared::platform::db::pool(&url, 4, "millrace-bench")?;
        shared::platform::db::migrate::up(&db, &shared::migrations::MIGRATOR).await?;
        sqlx::raw_sql("create extension if not exists pg_stat_statements").execute(&db).await?;
        let products = ProductSet::open(&db).await?;
        Ok(Self { url, db, products })
    }

    /// Switches the counting of statements on or off for new connections.
    pub async fn count_statements(&self, on: bool) -> Result<()> {
        let track = if on { "top" } else { "none" };
        let name: String = sqlx::query_scalar("select quote_ident(current_database())").fetch_one(&self.db).await?;
        let set = AssertSqlSafe(format!("alter database {name} set pg_stat_statements.track = '{track}'"));
        sqlx::raw_sql(set).execute(&self.db).await?;
        Ok(())
    }
}

/// The statements that ended on this database while counting was on.
pub async fn statements(db: &PgPool) -> Result<f64> {
    let sum = "select coalesce(sum(calls), 0)::float8 from pg_stat_statements
                where dbid = (select oid from pg_database where datname = current_database())";
    Ok(sqlx::query_scalar(sum).fetch_one(db).await?)
}

/// The resources that each process has used so far.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ResourceUse {
    pub server: Usage,
    pub postgres: Usage,
    pub redis: Usage,
    pub generator: Usage,
}

impl System {
    pub async fn start(home: &Home, bins: &Path) -> Result<Self> {
        let postgres = Postgres::start(home, &POSTGRES).await?;
        let redis = Redis::start(home).await?;
        let main = Database::open(postgres.url()).await?;
        Ok(Self { home: home.clone(), bins: bins.to_owned(), postgres, redis, main })
    }

    /// A new migrated database with this many orders of two years in it.
    pub async fn database(&self, name: &str, orders: u32) -> Result<Database> {
        let url = self.create(name).await?;
        if orders > 0 {
            crate::fill::run(&SecretString::from(url.clone()), orders).await?;
        }
        Database::open(url).await
    }

    pub async fn create(&self, name: &str) -> Result<String> {
        let mut conn = PgConnection::connect(&self.postgres.url()).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("create database {name}"))).execute(&mut conn).await?;
        conn.close().await?;
        Ok(self.postgres.url().replace("/postgres?", &format!("/{name}?")))
    }

    pub async fn drop_database(&self, database: Database, name: &str) -> Result<()> {
        database.db.close().await;
        let mut conn = PgConnection::connect(&self.postgres.url()).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("drop database {name} with (force)"))).execute(&mut conn).await?;
        Ok(conn.close().await?)
    }

    pub async fn api(&self, database: &Database, more: &[(&str, &str)]) -> Result<(Process, SocketAddr)> {
        let redis = self.redis.url();
        let own = [("DATABASE_URL", database.url.as_str()), ("REDIS_URL", &redis)];
        let settings: Vec<(&str, &str)> = own.iter().chain(&API).chain(more).copied().collect();
        let mut api = Process::api(&self.home, &self.bins, "api", &settings);
        let addr = api.start().await?;
        Ok((api, addr))
    }

    pub async fn workers(&self, count: usize) -> Result<Vec<Process>> {
        self.workers_with(count, &[]).await
    }

    pub async fn workers_with(&self, count: usize, more: &[(&str, &str)]) -> Result<Vec<Process>> {
        let redis = self.redis.url();
        let own = [
            ("DATABASE_URL", self.main.url.as_str()),
            ("REDIS_URL", &redis),
            ("DELIVERY_DELAY", "1s"),
            ("RUST_LOG", "warn,millrace_worker=info"),
        ];
        let settings: Vec<(&str, &str)> = own.iter().chain(more).copied().collect();
        let mut workers = Vec::new();
        for number in 1..=count {
            let mut worker = Process::worker(&self.home, &self.bins, &format!("worker-{number}"), &settings);
            worker.start().await?;
            workers.push(worker);
        }
        Ok(workers)
    }

    /// A worker that archives the months of this database, and pays and ships no order.
    pub async fn archiver(&self, database: &Database, dir: &Path) -> Result<Process> {
        let dir = dir.to_str().context("the folder has a strange name")?;
        let settings = [
            ("DATABASE_URL", database.url.as_str()),
            ("WORKER_QUEUES", "low"),
            ("ARCHIVE_DIR", dir),
            ("ARCHIVE_AFTER", "35d"),
            ("RUST_LOG", "warn,millrace_worker=info"),
        ];
        let mut worker = Process::worker(&self.home, &self.bins, "archiver", &settings);
        worker.start().await?;
        Ok(worker)
    }

    /// The bare handler, as a process of its own.
    pub async fn bare(&self, database: &Database) -> Result<(Process, SocketAddr)> {
        let mut bare = Process::bench(&self.home, "bare", &[("DATABASE_URL", &database.url)])?;
        let addr = bare.start().await?;
        Ok((bare, addr))
    }

    /// The resources used so far, with those of this server process.
    pub fn resource_use(&self, server: u32) -> Result<ResourceUse> {
        Ok(ResourceUse {
            server: usage::of(server)?,
            postgres: usage::of_tree(self.postgres.pid().context("Postgres has ended")?)?,
            redis: usage::of(self.redis.pid().context("Redis has ended")?)?,
            generator: usage::of(std::process::id())?,
        })
    }

    /// CPU seconds so far: Postgres, Redis, the API, the workers.
    pub fn cpu(&self, api: Option<u32>, workers: &[u32]) -> Result<[f64; 4]> {
        let mut of_workers = 0.0;
        for worker in workers {
            of_workers += usage::of(*worker)?.cpu_seconds;
        }
        Ok([
            usage::of_tree(self.postgres.pid().context("Postgres has ended")?)?.cpu_seconds,
            usage::of(self.redis.pid().context("Redis has ended")?)?.cpu_seconds,
            usage::of(api.context("the API has ended")?)?.cpu_seconds,
            of_workers,
        ])
    }

    pub async fn stop(mut self) -> Result<()> {
        self.main.db.close().await;
        self.postgres.stop(Stop::Fast).await?;
        self.redis.kill().await
    }

    /// Describes the machine and the configuration. Figures are meaningless without them.
    pub async fn describe(&self, settings: &Settings) -> Result<Vec<String>> {
        let version: String = sqlx::query_scalar("select version()").fetch_one(&self.main.db).await?;
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(" unknown");
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Ok(vec![
            format!("{} cores,{}", std::thread::available_parallelism()?, cpu.trim_start_matches(['\t', ':'])),
            version.split(" on ").next().unwrap_or_default().to_owned() + ", fsync on, " + &POSTGRES[..3].join(", "),
            format!("everything on one machine; its load at the beginning: {}", load.trim()),
            format!("{:?} a figure, after {:?} of warm-up", settings.time(), settings.warm_up()),
        ])
    }
}
