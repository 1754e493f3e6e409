//! One Postgres server, or a primary and its standby.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::{Child, Command};

use crate::home::{Home, free_port, signal, stop_left_over};
use crate::wait::Wait;

pub struct Postgres {
    home: Home,
    /// Names its folder and its log.
    name: String,
    bin: PathBuf,
    data: PathBuf,
    port: u16,
    /// Without a password every user of this machine may connect. Such servers contain only test data.
    password: Option<String>,
    settings: Vec<String>,
    child: Option<Child>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Closes all connections and writes everything to disk.
    Fast,
    /// Like a crash: the next start recovers from the WAL.
    Immediate,
}

impl Postgres {
    /// Starts a new server on a free port, without a password. Settings are `name=value`, on top of the defaults.
    pub async fn start(home: &Home, settings: &[&str]) -> Result<Self> {
        let (bin, data) = (postgres_bin(home), home.folder("pg")?);
        init(home, &bin, &data, &["--locale=C", "--auth=trust", "--no-sync"]).await?;
        Self::run(home, bin, data, free_port(), None, settings).await
    }

    /// Starts a server on this port with the data of an earlier run, if there is any. The password is in the folder's
    /// file `password`.
    pub async fn open(home: &Home, port: u16, password: &str, settings: &[&str]) -> Result<Self> {
        let (bin, data) = (postgres_bin(home), home.dir.join("pg"));
        if !data.exists() {
            // Written under another name first, so that an interrupted start leaves no half-finished data.
            let new = home.dir.join("pg.new");
            _ = std::fs::remove_dir_all(&new);
            home.folder("pg.new")?;
            let file = format!("--pwfile={}", home.dir.join("password").display());
            let locale = if cfg!(target_os = "macos") { "--locale=en_US.UTF-8" } else { "--locale=C.UTF-8" };
            init(home, &bin, &new, &[locale, "--auth=scram-sha-256", &file]).await?;
            std::fs::rename(new, &data)?;
        }
        Self::stop_left_over(home).await?;
        Self::run(home, bin, data, port, Some(password.to_owned()), settings).await
    }

    async fn run(
        home: &Home,
        bin: PathBuf,
        data: PathBuf,
        port: u16,
        password: Option<String>,
        settings: &[&str],
    ) -> Result<Self> {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let (home, name) = (home.clone(), "postgres".to_owned());
        let mut postgres = Self { home, name, bin, data, port, password, settings, child: None };
        postgres.start_again().await?;
        Ok(postgres)
    }

    /// Stops a server of `open` whose parent was killed.
    pub async fn stop_left_over(home: &Home) -> Result<()> {
        stop_left_over(&home.dir.join("pg/postmaster.pid"), "postgres", "-INT").await
    }

    /// Runs statements with psql in this database. Returns the rows without headings.
    pub async fn sql(&self, database: &str, statements: &str) -> Result<String> {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", &self.url_to(database), "-c", statements]);
        let output = psql.output().await.context("psql")?;
        ensure!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Creates a database unless it exists.
    pub async fn make_database(&self, name: &str) -> Result<()> {
        let there = format!("select 1 from pg_database where datname = '{name}'");
        if self.sql("postgres", &there).await?.is_empty() {
            self.sql("postgres", &format!("create database {name}")).await?;
        }
        Ok(())
    }

    /// Starts a standby of this server that accepts queries.
    pub async fn standby(&self, name: &str) -> Result<Self> {
        // A subfolder, because Postgres creates it with the permissions that it requires.
        let (home, data) = (self.home.clone(), self.home.folder(name)?.join("pg"));
        let mut copy = home.server(&self.bin.join("pg_basebackup"), name)?;
        copy.args(["--dbname", &format!("{}&application_name={name}", self.url()), "--write-recovery-conf"]);
        copy.args(["--checkpoint=fast", "--no-sync", "--pgdata"]).arg(&data);
        ensure!(copy.status().await?.success(), "pg_basebackup failed: {}", home.log(name).display());
        let (name, bin, mut settings) = (name.to_owned(), self.bin.clone(), self.settings.clone());
        settings.push("wal_retrieve_retry_interval=100ms".to_owned()); // Reconnects soon to a primary that was down.
        let (port, password) = (free_port(), self.password.clone());
        let mut standby = Self { home, name, bin, data, port, password, settings, child: None };
        standby.start_again().await?;
        Ok(standby)
    }

    /// From now on a commit waits until this standby has it. None: commits wait for no standby.
    pub async fn commit_on(&self, standby: Option<&str>) -> Result<()> {
        let names = format!("alter system set synchronous_standby_names = '{}'", standby.unwrap_or_default());
        self.sql("postgres", &names).await?;
        self.sql("postgres", "select pg_reload_conf()").await?;
        let log = self.home.log(&self.name);
        let wait = Wait::for_("the standby has what the primary has", &log);
        let synchronous = "select min(application_name) from pg_stat_replication where sync_state = 'sync'";
        while self.sql("postgres", synchronous).await? != standby.unwrap_or_default() {
            wait.a_moment().await?;
        }
        Ok(())
    }

    /// Promotes a standby, and waits until it is the primary.
    pub async fn promote(&self) -> Result<()> {
        let promoted = self.sql("postgres", "select pg_promote()").await?;
        ensure!(promoted == "t", "the standby was not promoted; its log is {}", self.home.log(&self.name).display());
        Ok(())
    }

    /// Sends a signal (STOP, CONT) to all processes of the server.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let child = self.child.as_ref().context("the server does not run")?;
        // The postmaster first, so that it starts no child that is missed. Each child has its own process group.
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
        // Killing the postmaster would leave its children and its shared memory behind. So `drop` sends SIGQUIT
        // instead.
        self.child = Some(command.kill_on_drop(false).spawn().context("postgres")?);
        let (ready, port, log) = (self.bin.join("pg_isready"), self.port.to_string(), self.home.log(&self.name));
        let wait = Wait::for_("Postgres answers", &log);
        while !Command::new(&ready).args(["-q", "-h", "127.0.0.1", "-p", &port]).status().await?.success() {
            if let Some(ended) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("Postgres ended with {ended}; its log is {}", log.display());
            }
            wait.a_moment().await?;
        }
        Ok(())
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

    pub fn bin(&self) -> &Path {
        &self.bin
    }

    pub fn url(&self) -> String {
        self.url_to("postgres")
    }

    pub fn url_to(&self, database: &str) -> String {
        match &self.password {
            Some(password) => format!("postgres://millrace:{password}@{}/{database}", self.addr()),
            None => format!("postgres://millrace@{}/{database}?sslmode=disable", self.addr()),
        }
    }

    pub fn access(&self) -> Access {
        Access { user: "millrace", addr: self.addr(), schema: None }
    }
}

/// How to reach a database whose users need no password.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    pub user: &'static str,
    pub addr: SocketAddr,
    /// Of the shop. None: `public`.
    pub schema: Option<&'static str>,
}

impl Access {
    pub fn url(self) -> String {
        let Self { user, addr, schema } = self;
        let path = schema.map(|schema| format!("&options[search_path]={schema},public")).unwrap_or_default();
        format!("postgres://{user}@{addr}/postgres?sslmode=disable{path}")
    }

    /// The same at another address.
    #[must_use]
    pub fn at(self, addr: SocketAddr) -> Self {
        Self { addr, ..self }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            drop(std::process::Command::new("kill").args(["-QUIT", &pid.to_string()]).status());
        }
    }
}

async fn init(home: &Home, bin: &Path, data: &Path, args: &[&str]) -> Result<()> {
    let mut initdb = home.server(&bin.join("initdb"), "initdb")?;
    initdb.args(["-U", "millrace", "-E", "UTF8"]).args(args).arg("-D").arg(data);
    let made = initdb.status().await.context("initdb; `./dev test` installs it")?;
    ensure!(made.success(), "initdb failed: {}", home.log("initdb").display());
    Ok(())
}

/// The folder of Postgres's programs: the one in `POSTGRES_BIN`, to try another version, or where Debian and Homebrew keep
/// them, out of PATH. Existing data needs the version that created it. Otherwise we take the newest version, or the one in
/// PATH.
pub fn postgres_bin(home: &Home) -> PathBuf {
    if let Some(chosen) = std::env::var_os("POSTGRES_BIN") {
        return chosen.into();
    }
    let made_by = std::fs::read_to_string(home.dir.join("pg/PG_VERSION")).ok();
    let made_by = made_by.and_then(|version| version.trim().parse::<u32>().ok());
    let found = |version: u32| {
        ["/usr/lib/postgresql/", "/opt/homebrew/opt/postgresql@", "/usr/local/opt/postgresql@"]
            .map(|place| PathBuf::from(format!("{place}{version}/bin")))
            .into_iter()
            .find(|bin| bin.join("initdb").exists())
    };
    made_by.into_iter().chain((15..=30).rev()).find_map(found).unwrap_or_default()
}
