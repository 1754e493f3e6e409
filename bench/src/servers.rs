//! Servers and processes of our own, to be measured, frozen, killed and started again: Postgres, Redis, and the
//! real binaries. All that they write is in one folder. None outlives the value that stands for it.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use redis::aio::MultiplexedConnection;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use uuid::Uuid;

/// A debug build on a busy machine, or Postgres after a crash, takes some seconds to be there.
const PATIENCE: Duration = Duration::from_mins(1);

/// Who runs Postgres for root, as in `./dev`.
const OWNER: &str = "postgres";

/// Signs the access tokens of one run.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEICK0wiYbFsopBwLBYPARWckKJ59173Cc2Vfg7GOSjm+S
-----END PRIVATE KEY-----
";

/// A new folder for data and logs.
#[derive(Debug, Clone)]
pub struct Home {
    pub dir: PathBuf,
    /// Postgres refuses to run as root, so root starts the servers as another user.
    owner: Option<(u32, u32)>,
}

impl Home {
    /// `parent` must let every user pass; the system's temporary folder does.
    pub async fn new(parent: &Path) -> Result<Self> {
        let dir = parent.join(format!("millrace-{}", Uuid::now_v7().simple()));
        fs::create_dir_all(dir.join("log")).with_context(|| format!("{} cannot be made", dir.display()))?;
        let owner = match id(&["-u"]).await? {
            0 => Some((id(&["-u", OWNER]).await?, id(&["-g", OWNER]).await?)),
            _ => None,
        };
        Ok(Self { dir, owner })
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join("log").join(format!("{name}.log"))
    }

    pub fn remove(&self) -> Result<()> {
        Ok(fs::remove_dir_all(&self.dir)?)
    }

    /// Work in a new folder. When it ends, also by a Ctrl-C, all that it started ends with it and the folder goes, but
    /// for the logs of what has failed.
    pub async fn during<T>(work: impl AsyncFnOnce(&Self) -> Result<T>) -> Result<T> {
        let home = Self::new(&std::env::temp_dir()).await?;
        let asked = Arc::new(Notify::new());
        let stop = asked.clone();
        shared::shutdown::when_asked(move || stop.notify_one());
        let (done, keep) = tokio::select! {
            done = work(&home) => { let keep = done.is_err(); (done, keep) }
            () = asked.notified() => (Err(anyhow!("interrupted")), false),
        };
        home.clear(keep).await?;
        if keep { done.with_context(|| format!("the logs are in {}", home.dir.join("log").display())) } else { done }
    }

    /// A server that was just told to end may still write for a moment.
    async fn clear(&self, keep_logs: bool) -> Result<()> {
        let wait = Wait::for_("the folder is removed", &self.dir);
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            while !(keep_logs && path.ends_with("log")) && path.exists() {
                if fs::remove_dir_all(&path).is_err() && fs::remove_file(&path).is_err() {
                    wait.a_moment().await?;
                }
            }
        }
        if keep_logs { Ok(()) } else { self.remove() }
    }

    /// A folder that a server may write to.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        fs::create_dir(&dir)?;
        self.give(&dir)?;
        Ok(dir)
    }

    /// Lets a server write to it.
    pub(crate) fn give(&self, path: &Path) -> Result<()> {
        if let Some((user, group)) = self.owner {
            chown(path, Some(user), Some(group))?;
        }
        Ok(())
    }

    pub(crate) fn server(&self, program: &Path, name: &str) -> Result<Command> {
        let mut command = command(program, &self.log(name))?;
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        Ok(command)
    }
}

/// A command whose output goes to the end of its log.
fn command(program: &Path, log: &Path) -> Result<Command> {
    let log = File::options().create(true).append(true).open(log)?;
    let mut command = Command::new(program);
    command.current_dir("/").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    // Not in our process group: a Ctrl-C in the terminal is for us, and we stop them in order.
    command.process_group(0);
    Ok(command)
}

async fn id(args: &[&str]) -> Result<u32> {
    let output = Command::new("id").args(args).output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("`id {}` answers no number; is the user there?", args.join(" ")))
}

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

/// A Redis of its own.
pub struct Redis {
    home: Home,
    data: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Redis {
    pub async fn start(home: &Home) -> Result<Self> {
        let mut redis = Self { home: home.clone(), data: home.folder("redis")?, port: free_port(), child: None };
        redis.start_again().await?;
        Ok(redis)
    }

    /// It comes back with what was in its file when it ended.
    pub async fn start_again(&mut self) -> Result<()> {
        let mut command = self.home.server(Path::new("redis-server"), "redis")?;
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--appendonly", "yes", "--save", ""]);
        command.arg("--dir").arg(&self.data);
        self.child = Some(command.spawn().context("redis-server; `./dev test` installs it")?);
        let log = self.home.log("redis");
        let wait = Wait::for_("Redis answers", &log);
        loop {
            if let Ok(mut connection) = self.connect().await
                && redis::cmd("PING").exec_async(&mut connection).await.is_ok()
            {
                return Ok(());
            }
            wait.a_moment().await?;
        }
    }

    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    pub async fn connect(&self) -> Result<MultiplexedConnection> {
        Ok(redis::Client::open(self.url())?.get_multiplexed_async_connection().await?)
    }

    pub async fn flush(&self) -> Result<()> {
        Ok(redis::cmd("FLUSHALL").exec_async(&mut self.connect().await?).await?)
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

    pub fn url_at(addr: SocketAddr) -> String {
        format!("redis://{addr}")
    }
}

/// `millrace-api`, `millrace-worker`, or this program once more, as a process.
pub struct Process {
    pub name: String,
    home: Home,
    program: PathBuf,
    args: Vec<String>,
    settings: Vec<(String, String)>,
    child: Option<Child>,
}

impl Process {
    /// The binary that stands in `bins`, with these settings and no others. Not started yet.
    pub fn api(home: &Home, bins: &Path, name: &str, settings: &[(&str, &str)]) -> Self {
        let own = [("API_ADDR", "127.0.0.1:0"), ("METRICS_ADDR", "127.0.0.1:0"), ("JWT_PRIVATE_KEY", KEY)];
        Self::new(home, bins.join("millrace-api"), name, &own, settings)
    }

    pub fn worker(home: &Home, bins: &Path, name: &str, settings: &[(&str, &str)]) -> Self {
        Self::new(home, bins.join("millrace-worker"), name, &[("WORKER_ADDR", "127.0.0.1:0")], settings)
    }

    /// One of the bench's own commands, which serves something.
    pub fn bench(home: &Home, command: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let program = std::env::current_exe()?;
        Ok(Self { args: vec![command.to_owned()], ..Self::new(home, program, command, &[], settings) })
    }

    fn new(home: &Home, program: PathBuf, name: &str, own: &[(&str, &str)], settings: &[(&str, &str)]) -> Self {
        let settings = own.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (name, home, settings) = (name.to_owned(), home.clone(), settings.collect());
        Self { name, home, program, args: Vec::new(), settings, child: None }
    }

    pub fn log(&self) -> PathBuf {
        self.home.log(&self.name)
    }

    /// Starts it, and waits until it says in its log where it listens: `RUST_LOG` must let that through, as
    /// `info` or `warn,api::serve=info,millrace_worker=info` does. Each start takes a port of its own.
    pub async fn start(&mut self) -> Result<SocketAddr> {
        let log = self.log();
        let before = fs::metadata(&log).map_or(0, |file| file.len());
        let mut command = command(&self.program, &log)?;
        command.args(&self.args).env_clear().envs(self.settings.iter().map(|(name, value)| (name, value)));
        self.child = Some(command.spawn().with_context(|| {
            format!("{} cannot be started; build it first: cargo build --bins", self.program.display())
        })?);
        let what = format!("{} listens", self.name);
        let wait = Wait::for_(&what, &log);
        loop {
            if let Some(ended) = self.has_ended()? {
                bail!("{} ended with {ended}; its log is {}", self.name, log.display());
            }
            let mut written = String::new();
            let mut file = File::open(&log)?;
            file.seek(SeekFrom::Start(before))?;
            file.read_to_string(&mut written)?;
            if let Some(addr) = address_in(&written) {
                return Ok(addr);
            }
            wait.a_moment().await?;
        }
    }

    /// Runs the binary with other arguments until it ends, such as `migrate`.
    pub async fn run(&self, args: &[&str]) -> Result<()> {
        let log = self.log();
        let mut command = command(&self.program, &log)?;
        command.env_clear().envs(self.settings.iter().map(|(name, value)| (name, value))).args(args);
        let status = command.status().await.with_context(|| self.program.display().to_string())?;
        ensure!(status.success(), "{} {} failed; its log is {}", self.name, args.join(" "), log.display());
        Ok(())
    }

    /// As an operator or the kernel would: KILL, STOP, CONT, TERM.
    pub async fn signal(&self, name: &str) -> Result<()> {
        match &self.child {
            Some(child) => signal(child, name).await,
            None => Ok(()),
        }
    }

    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Waits for the end that was asked for.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let mut child = self.child.take().context("it does not run")?;
        tokio::time::timeout(PATIENCE, child.wait())
            .await
            .with_context(|| format!("{} was asked to stop and did not", self.name))?
            .map_err(Into::into)
    }

    /// Asks it to finish what it does: one that is killed keeps its leases.
    pub async fn stop(&mut self) -> Result<()> {
        self.signal("TERM").await?;
        let status = self.ended().await?;
        ensure!(status.success(), "{} ended with {status}; its log is {}", self.name, self.log().display());
        Ok(())
    }

    /// How it ended, if nobody asked it to.
    pub fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.as_mut().map(Child::try_wait).transpose()?.flatten())
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }
}

/// The first address in a log of JSON lines.
fn address_in(log: &str) -> Option<SocketAddr> {
    log.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()?["addr"].as_str()?.parse().ok())
}

pub(crate) async fn signal(child: &Child, name: &str) -> Result<()> {
    let pid = child.id().context("the process has ended")?;
    let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().await?;
    ensure!(sent.success(), "process {pid} could not be sent {name}");
    Ok(())
}

/// Waits for what there will be, and names the log when it does not come.
pub(crate) struct Wait<'a> {
    what: &'a str,
    log: &'a Path,
    deadline: Instant,
}

impl<'a> Wait<'a> {
    pub(crate) fn for_(what: &'a str, log: &'a Path) -> Self {
        Self { what, log, deadline: Instant::now() + PATIENCE }
    }

    pub(crate) async fn a_moment(&self) -> Result<()> {
        let Self { what, log, deadline } = self;
        ensure!(Instant::now() < *deadline, "{what}: not within {PATIENCE:?}; the log is {}", log.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(())
    }
}

/// Below the range from which the kernel gives ports to clients, since a server wants its port again.
pub fn free_port() -> u16 {
    loop {
        let port = 20_000 + u16::try_from(Uuid::new_v4().as_u128() % 10_000).expect("it is small");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
