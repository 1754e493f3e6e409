//! All processes of a run: Postgres, Redis, APIs and workers. A proxy on each connection can slow down or break the
//! network.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use shared::identity::users;
use shared::principal::Role;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use servers::home::Home;
use servers::postgres::{Access, Postgres, Stop};
use servers::process::Process;
use servers::redis::Redis;
use testkit::network::{Link, NetworkFault};

pub const APIS: usize = 2;
pub const WORKERS: usize = 3;

/// The lease is short, so that a run of minutes sees many leases expire.
pub const LEASE: Duration = Duration::from_secs(3);
/// As in the settings of the APIs.
pub const RESERVATION_TTL: Duration = Duration::from_secs(20);

const API: [(&str, &str); 13] = [
    ("AUTO_MIGRATE", "false"),
    ("MAX_CONNECTIONS_PER_ADDRESS", "10000"),
    ("RATE_LIMITS", "off"),
    ("MAX_OPEN_ORDERS", "0"),
    ("MAX_UNPAID_UNITS", "0"),
    ("MAX_UNPAID_SHARE", "0"),
    ("MAX_PLACEMENTS_PER_CALLER", "0"),
    ("RESERVATION_TTL", "20s"),
    ("DELIVERY_DELAY", "2s"),
    ("JOB_MAX_ATTEMPTS", "5"),
    ("ACCESS_TOKEN_TTL", "1d"),
    ("DATABASE_MAX_CONNECTIONS", "15"),
    ("RUST_LOG", "info"),
];

const WORKER: [(&str, &str); 9] = [
    ("JOB_LEASE", "3s"),
    ("RETRY_INITIAL", "200ms"),
    ("RETRY_MAX", "1s"),
    ("PAYMENT_LATENCY", "20ms"),
    ("DELIVERY_DELAY", "2s"),
    ("REAPER_SCHEDULE", "*/3 * * * * *"),
    ("JOB_MAX_ATTEMPTS", "5"),
    ("DATABASE_MAX_CONNECTIONS", "15"),
    ("RUST_LOG", "info"),
];

/// What takes minutes takes milliseconds.
const WEBHOOKS: [(&str, &str); 4] = [
    ("WEBHOOK_MASTER_KEY", "a master key for the chaos run, which everybody knows"),
    ("WEBHOOK_ALLOW", "127.0.0.0/8"),
    ("WEBHOOK_RETRY_SCALE", "0.001"),
    ("WEBHOOK_TIMEOUT", "2s"),
];

pub const PASSWORD: &str = "correct horse battery";
pub const STAFF: &str = "staff@prove.test";
pub const ADMIN: &str = "admin@prove.test";

pub struct Cluster {
    pub home: Home,
    /// None: who opened the cluster started it.
    postgres: Option<Mutex<Postgres>>,
    pub redis: Mutex<Redis>,
    pub apis: Vec<Member>,
    pub workers: Vec<Member>,
    /// Connects to Postgres without the faults of the members.
    pub db: PgPool,
    own_link: Link,
}

/// A process, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessRef {
    Api(usize),
    Worker(usize),
}

/// A server that processes connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    Postgres,
    Redis,
}

impl fmt::Display for ProcessRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(index) => write!(f, "api-{}", index + 1),
            Self::Worker(index) => write!(f, "worker-{}", index + 1),
        }
    }
}

/// A process and its connections to the servers.
pub struct Member {
    pub process: Mutex<Process>,
    to_postgres: Link,
    to_redis: Link,
    addr: watch::Sender<Option<SocketAddr>>,
}

impl Cluster {
    /// Starts all processes. The database contains only staff.
    pub async fn open(parent: &Path, bins: &Path, apis: usize, workers: usize) -> Result<Self> {
        Self::open_with(parent, bins, apis, workers, &[]).await
    }

    /// The same, with more settings for APIs and workers. They override the defaults of this file.
    pub async fn open_with(
        parent: &Path,
        bins: &Path,
        apis: usize,
        workers: usize,
        own: &[(&str, &str)],
    ) -> Result<Self> {
        let home = Home::new(parent).await?;
        // fsync only matters for power loss, and we do not simulate power loss. Everything else behaves the same
        // without it, and faster.
        let postgres = Postgres::start(&home, &["fsync=off", "max_wal_size=1GB"]).await?;
        migrate(&home, bins, postgres.access()).await?;
        let cluster = Self::open_at(&home, postgres.access(), bins, apis, workers, own).await?;
        Ok(Self { postgres: Some(Mutex::new(postgres)), ..cluster })
    }

    /// The same with a database that has been migrated.
    pub async fn open_at(
        home: &Home,
        postgres: Access,
        bins: &Path,
        apis: usize,
        workers: usize,
        own: &[(&str, &str)],
    ) -> Result<Self> {
        let redis = Redis::start(home).await?;
        let own_link = Link::start(postgres.addr).await?;
        // This pool must survive a restart of Postgres and a failover.
        let db = PgPoolOptions::new().max_connections(4).test_before_acquire(true);
        let db = db.connect(&postgres.at(own_link.addr).url()).await?;
        for (email, role) in [(STAFF, Role::Staff), (ADMIN, Role::Admin)] {
            let password = PASSWORD.to_owned().try_into()?;
            users::create_user(&db, email.parse()?, password, email.parse()?, role).await?;
        }

        let member = async |who: ProcessRef| Member::start(home, bins, who, postgres, redis.addr(), own).await;
        let apis = try_join_all((0..apis).map(|index| member(ProcessRef::Api(index)))).await?;
        let workers = try_join_all((0..workers).map(|index| member(ProcessRef::Worker(index)))).await?;
        Ok(Self { home: home.clone(), postgres: None, redis: Mutex::new(redis), apis, workers, db, own_link })
    }

    /// The server that `open` started.
    pub fn postgres(&self) -> &Mutex<Postgres> {
        self.postgres.as_ref().expect("it was not opened with a server of somebody else")
    }

    /// Leads all connections to another server of Postgres, as a load balancer does.
    pub fn lead_to(&self, postgres: SocketAddr) {
        self.own_link.lead_to(postgres);
        self.members().for_each(|member| member.to_postgres.lead_to(postgres));
    }

    pub fn member(&self, who: ProcessRef) -> &Member {
        match who {
            ProcessRef::Api(index) => &self.apis[index],
            ProcessRef::Worker(index) => &self.workers[index],
        }
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.apis.iter().chain(&self.workers)
    }

    /// The id under which a worker registered in `workers`. None if Postgres does not answer within a second.
    pub async fn worker_id(&self, pid: u32) -> Option<Uuid> {
        let found = sqlx::query_scalar("select id from workers where pid = $1 order by started_at desc limit 1")
            .bind(pid.cast_signed())
            .fetch_optional(&self.db);
        tokio::time::timeout(Duration::from_secs(1), found).await.ok()?.ok()?
    }

    /// The processes that ended without being asked to, with their exit status.
    pub async fn ended_by_themselves(&self) -> Result<Vec<String>> {
        let mut ended = Vec::new();
        for member in self.members() {
            let mut process = member.process.lock().await;
            if let Some(status) = process.has_ended()? {
                ended.push(format!("{}: {status}", process.name));
            }
        }
        Ok(ended)
    }

    /// Kills all processes. Their data and logs stay on disk.
    pub async fn close(&self) -> Result<()> {
        self.db.close().await;
        for member in self.members() {
            member.process.lock().await.kill().await?;
        }
        self.redis.lock().await.kill().await?;
        if let Some(postgres) = &self.postgres {
            postgres.lock().await.stop(Stop::Immediate).await?;
        }
        Ok(())
    }
}

/// Migrates a database.
pub async fn migrate(home: &Home, bins: &Path, owner: Access) -> Result<()> {
    let settings = [("DATABASE_URL", &*owner.url()), ("LOG_FORMAT", "json")];
    Process::api(home, bins, "migrate", &settings).run(&["migrate"]).await
}

impl Member {
    async fn start(
        home: &Home,
        bins: &Path,
        who: ProcessRef,
        postgres: Access,
        redis: SocketAddr,
        own: &[(&str, &str)],
    ) -> Result<Self> {
        let (to_postgres, to_redis) = (Link::start(postgres.addr).await?, Link::start(redis).await?);
        let (database_url, redis_url) = (postgres.at(to_postgres.addr).url(), Redis::url_at(to_redis.addr));
        let mut settings = vec![("DATABASE_URL", &*database_url), ("REDIS_URL", &*redis_url)];
        let name = who.to_string();
        let process = match who {
            ProcessRef::Api(_) => {
                settings.extend(API);
                settings.extend(WEBHOOKS);
                settings.extend(own);
                Process::api(home, bins, &name, &settings)
            }
            ProcessRef::Worker(_) => {
                settings.extend(WORKER);
                settings.extend(WEBHOOKS);
                settings.extend(own);
                Process::worker(home, bins, &name, &settings)
            }
        };
        let member = Self { process: Mutex::new(process), to_postgres, to_redis, addr: watch::Sender::default() };
        member.start_again(&mut *member.process.lock().await).await?;
        Ok(member)
    }

    /// Starts the process. Each start takes a new port.
    pub async fn start_again(&self, process: &mut Process) -> Result<()> {
        let addr = process.start().await.context("a process did not start")?;
        self.addr.send_replace(Some(addr));
        Ok(())
    }

    /// The last address that the process listened on. The process may have ended since.
    pub fn addr(&self) -> SocketAddr {
        self.addr.borrow().expect("`start` sets it")
    }

    pub fn set_network(&self, server: Server, fault: NetworkFault) {
        match server {
            Server::Postgres => self.to_postgres.set(fault),
            Server::Redis => self.to_redis.set(fault),
        }
    }
}
