//! One Redis server.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

use crate::home::{Home, free_port, signal, stop_left_over};
use crate::wait::Wait;

/// A server that has not answered a command by then is frozen.
const SILENT: Duration = Duration::from_secs(1);

pub struct Redis {
    home: Home,
    /// Of its folder and its log.
    name: String,
    port: u16,
    password: Option<String>,
    args: Vec<String>,
    child: Option<Child>,
}

impl Redis {
    /// On a free port, without a password. After a crash it comes back with what was in memory.
    pub async fn start(home: &Home) -> Result<Self> {
        Self::open(home, free_port(), None).await
    }

    /// Nothing comes back after a crash.
    pub async fn start_in_memory(home: &Home) -> Result<Self> {
        Self::node(home, "redis", &[], &["save \"\""]).await
    }

    /// On this port, with what an earlier run left in the folder.
    pub async fn open(home: &Home, port: u16, password: Option<&str>) -> Result<Self> {
        let protect = password.map(|password| format!("requirepass {password}"));
        let settings: Vec<&str> = ["appendonly yes", "save \"\""].into_iter().chain(protect.as_deref()).collect();
        let password = password.map(ToOwned::to_owned);
        let mut redis = Self { password, ..Self::prepare(home, "redis", port, &[], &settings)? };
        Self::stop_left_over(home).await?;
        redis.start_again().await?;
        Ok(redis)
    }

    /// One of several: a free port, these arguments, these lines in its configuration.
    pub(crate) async fn node(home: &Home, name: &str, args: &[&str], settings: &[&str]) -> Result<Self> {
        let mut redis = Self::prepare(home, name, free_port(), args, settings)?;
        redis.start_again().await?;
        Ok(redis)
    }

    fn prepare(home: &Home, name: &str, port: u16, args: &[&str], settings: &[&str]) -> Result<Self> {
        let dir = home.folder(name)?;
        let (conf, dir) = (dir.join("redis.conf"), dir.display());
        let place = format!("port {port}\nbind 127.0.0.1\ndir \"{dir}\"\npidfile \"{dir}/redis.pid\"\n");
        fs::write(&conf, place + &settings.join("\n") + "\n")?;
        // A Sentinel writes into it what it has learned.
        home.give(&conf)?;
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Ok(Self { home: home.clone(), name: name.to_owned(), port, password: None, args, child: None })
    }

    /// Stops a server that was started by `open` and whose parent was killed.
    pub async fn stop_left_over(home: &Home) -> Result<()> {
        stop_left_over(&home.dir.join("redis/redis.pid"), "redis-server", "-TERM").await
    }

    pub async fn start_again(&mut self) -> Result<()> {
        let mut command = self.home.server(Path::new("redis-server"), &self.name)?;
        command.arg(self.home.dir.join(&self.name).join("redis.conf")).args(&self.args);
        self.child = Some(command.spawn().context("redis-server; `./dev test` installs it")?);
        let log = self.home.log(&self.name);
        let what = format!("{} answers", self.name);
        let wait = Wait::for_(&what, &log);
        while self.ask(&["PING"]).await? != "PONG" {
            if let Some(ended) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("Redis ended with {ended}; its log is {}", log.display());
            }
            wait.a_moment().await?;
        }
        Ok(())
    }

    /// The reply to a command, as redis-cli prints it. An error is a reply too; a server that is frozen replies nothing.
    pub async fn ask(&self, words: &[&str]) -> Result<String> {
        let mut ask = Command::new("redis-cli");
        ask.args(["-p", &self.port.to_string()]).args(words).kill_on_drop(true);
        if let Some(password) = &self.password {
            ask.env("REDISCLI_AUTH", password);
        }
        match tokio::time::timeout(SILENT, ask.output()).await {
            Ok(answer) => Ok(String::from_utf8_lossy(&answer?.stdout).trim().to_owned()),
            Err(_frozen) => Ok(String::new()),
        }
    }

    /// How often clients have used a command.
    pub async fn calls(&self, command: &str) -> Result<u64> {
        let stats = self.ask(&["INFO", "commandstats"]).await?;
        let calls = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        Ok(calls.map_or(Ok(0), |calls| calls.split(',').next().unwrap_or_default().parse())?)
    }

    /// How many clients wait for the doorbell here.
    pub async fn listeners(&self) -> Result<usize> {
        let clients = self.ask(&["CLIENT", "LIST"]).await?;
        Ok(clients.lines().filter(|client| client.contains("cmd=bzmpop")).count())
    }

    pub async fn flush(&self) -> Result<()> {
        let reply = self.ask(&["FLUSHALL"]).await?;
        anyhow::ensure!(reply == "OK", "Redis was not flushed: {reply}");
        Ok(())
    }

    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Writes what is in memory to disk, and ends.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal(&child, "TERM").await?;
        child.wait().await?;
        Ok(())
    }

    /// Its connections stay open, and nothing answers.
    pub async fn freeze(&self) -> Result<()> {
        signal(self.child.as_ref().context("it does not run")?, "STOP").await
    }

    pub async fn thaw(&self) -> Result<()> {
        signal(self.child.as_ref().context("it does not run")?, "CONT").await
    }

    /// Waits until the reply to a command is as wanted.
    pub async fn until(&self, what: &str, words: &[&str], is_so: impl Fn(&str) -> bool) -> Result<()> {
        let (what, log) = (format!("{}: {what}", self.name), self.home.log(&self.name));
        let wait = Wait::for_(&what, &log);
        while !is_so(&self.ask(words).await?) {
            wait.a_moment().await?;
        }
        Ok(())
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn url(&self) -> String {
        match &self.password {
            Some(password) => format!("redis://:{password}@{}", self.addr()),
            None => Self::url_at(self.addr()),
        }
    }

    /// The same behind a proxy, for a server without a password.
    pub fn url_at(addr: SocketAddr) -> String {
        format!("redis://{addr}")
    }
}
