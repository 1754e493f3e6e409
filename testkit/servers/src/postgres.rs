//! Postgres: one server, or one and its standby.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::process::{Child, Command};

use super::{Home, Wait, free_port, signal};

/// A cluster of its own. Whoever is on this machine may enter: there is nothing in it but made-up orders.
pub struct Postgres {
    home: Home,
    /// Of its folder and its log.
    name: String,
    bin: PathBuf,
    data: PathBuf,
    port: u16,
    settings: Vec<String>,
    child: Option<Child>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Clients are thrown out; all is written down.
    Fast,
    /// As if it had crashed: the next start recovers from the log.
    Immediate,
}

impl Postgres {
    /// Settings as `name=value`, on top of the defaults.
    pub async fn start(home: &Home, settings: &[&str]) -> Result<Self> {
        let bin = postgres_bin();
        let data = home.folder("pg")?;
        let mut initdb = home.server(&bin.join("initdb"), "initdb")?;
        initdb.args(["-U", "millrace", "-E", "UTF8", "--locale=C", "--auth=trust", "--no-sync", "-D"]).arg(&data);
        ensure!(
            initdb.status().await.context("initdb; `./dev test` installs it")?.success(),
            "initdb failed: {}",
            home.log("initdb").display()
        );
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let name = "postgres".to_owned();
        let mut postgres = Self { home: home.clone(), name, bin, data, port: free_port(), settings, child: None };
        postgres.start_again().await?;
        Ok(postgres)
    }

    /// A standby that follows this one, and answers questions.
    pub async fn standby(&self, name: &str) -> Result<Self> {
        // The folder that Postgres itself makes below has the rights that it insists on.
        let (home, data) = (self.home.clone(), self.home.folder(name)?.join("pg"));
        let mut copy = home.server(&self.bin.join("pg_basebackup"), name)?;
        copy.args(["--dbname", &format!("{}&application_name={name}", self.url()), "--write-recovery-conf"]);
        copy.args(["--checkpoint=fast", "--no-sync", "--pgdata"]).arg(&data);
        ensure!(copy.status().await?.success(), "pg_basebackup failed: {}", home.log(name).display());
        let (name, bin, mut settings) = (name.to_owned(), self.bin.clone(), self.settings.clone());
        settings.push("wal_retrieve_retry_interval=100ms".to_owned()); // It finds a primary that was away at once.
        let mut standby = Self { home, name, bin, data, port: free_port(), settings, child: None };
        standby.start_again().await?;
        Ok(standby)
    }

    /// From now on a commit waits until this standby has it too, or until none has.
    pub async fn commit_on(&self, standby: Option<&str>) -> Result<()> {
        let mut conn = PgConnection::connect(&self.url()).await?;
        let names = format!("alter system set synchronous_standby_names = '{}'", standby.unwrap_or_default());
        sqlx::raw_sql(AssertSqlSafe(names)).execute(&mut conn).await?;
        sqlx::raw_sql("select pg_reload_conf()").execute(&mut conn).await?;
        let log = self.home.log(&self.name);
        let wait = Wait::for_("the standby has what the primary has", &log);
        loop {
            let followed: Option<String> =
                sqlx::query_scalar("select min(application_name) from pg_stat_replication where sync_state = 'sync'")
                    .fetch_one(&mut conn)
                    .await?;
            if followed.as_deref() == standby {
                return Ok(conn.close().await?);
            }
            wait.a_moment().await?;
        }
    }

    /// Makes a standby the primary, and waits until it is.
    pub async fn promote(&self) -> Result<()> {
        let mut conn = PgConnection::connect(&self.url()).await?;
        let promoted: bool = sqlx::query_scalar("select pg_promote()").fetch_one(&mut conn).await?;
        ensure!(promoted, "the standby was not promoted; its log is {}", self.home.log(&self.name).display());
        Ok(conn.close().await?)
    }

    /// As an operator or the kernel would, to the whole server: STOP, CONT.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let child = self.child.as_ref().context("it does not run")?;
        // It first: then no child is missed. Each of them is in a process group of its own.
        signal(child, name).await?;
        let pid = child.id().context("it has ended")?.to_string();
        let sent = Command::new("pkill").args([&format!("-{name}"), "-P", &pid]).status().await?;
        ensure!(sent.success(), "the children of process {pid} could not be sent {name}");
        Ok(())
    }

    pub async fn start_again(&mut self) -> Result<()> {
        let mut command = self.home.server(&self.bin.join("postgres"), &self.name)?;
        command.arg("-D").arg(&self.data).args(["-p", &self.port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=500"] {
            command.args(["-c", setting]);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        // A postmaster that is killed leaves its children and its shared memory behind: `drop` asks it instead.
        self.child = Some(command.kill_on_drop(false).spawn().context("postgres")?);
        let (url, log) = (self.url(), self.home.log(&self.name));
        let wait = Wait::for_("Postgres answers", &log);
        loop {
            match PgConnection::connect(&url).await {
                Ok(connection) => return Ok(connection.close().await?),
                Err(_) => wait.a_moment().await?,
            }
        }
    }

    pub async fn stop(&mut self, how: Stop) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal(&child, if how == Stop::Fast { "INT" } else { "QUIT" }).await?;
        child.wait().await?;
        Ok(())
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }

    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn url(&self) -> String {
        Self::url_at(self.addr())
    }

    /// The same behind a proxy.
    pub fn url_at(addr: SocketAddr) -> String {
        Self::url_of(&[addr])
    }

    /// Several servers, one of which is the primary.
    pub fn url_of(addrs: &[SocketAddr]) -> String {
        let addrs: Vec<String> = addrs.iter().map(ToString::to_string).collect();
        format!("postgres://millrace@{}/postgres?sslmode=disable", addrs.join(","))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            drop(std::process::Command::new("kill").args(["-QUIT", &pid.to_string()]).status());
        }
    }
}

/// Debian and Homebrew keep Postgres out of PATH. The newest is taken, or else what is in PATH.
fn postgres_bin() -> PathBuf {
    let found = |version: u32| {
        ["/usr/lib/postgresql/", "/opt/homebrew/opt/postgresql@", "/usr/local/opt/postgresql@"]
            .map(|place| PathBuf::from(format!("{place}{version}/bin")))
            .into_iter()
            .find(|bin| bin.join("initdb").exists())
    };
    (15..=30).rev().find_map(found).unwrap_or_default()
}
