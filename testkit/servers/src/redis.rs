//! One Redis server.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

use crate::home::{Home, free_port, signal, stop_left_over};
use crate::wait::Wait;

/// A server that does not answer within this time is frozen.
const SILENT: Duration = Duration::from_secs(1);

pub struct Redis {
    home: Home,
    /// Names its folder and its log.
    name: String,
    port: u16,
    password: Option<String>,
    args: Vec<String>,
    child: Option<Child>,
}

impl Redis {
    /// Starts a server on a free port, without a password. After a crash it restores its data from the append-only
    /// file.
    pub async fn start(home: &Home) -> Result<Self> {
        Self::open(home, free_port(), None).await
    }

    /// Starts a server without persistence. After a crash it is empty.
    pub async fn start_in_memory(home: &Home) -> Result<Self> {
        Self::node(home, "redis", &[], &["save \"\""]).await
    }

    /// Starts a server on this port with the data of an earlier run, if there is any.
    pub async fn open(home: &Home, port: u16, password: Option<&str>) -> Result<Self> {
        let protect = password.map(|password| format!("requirepass {password}"));
        let settings: Vec<&str> = ["appendonly yes", "save \"\""].into_iter().chain(protect.as_deref()).collect();
        let password = password.map(ToOwned::to_owned);
        let mut redis = Self { password, ..Self::prepare(home, "redis", port, &[], &settings)? };
        Self::stop_left_over(home).await?;
        redis.start_again().await?;
        Ok(redis)
    }

    /// Starts one of several servers: on a free port, with these arguments and configuration lines.
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
        // A Sentinel writes its state into the configuration file.
        home.give(&conf)?;
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Ok(Self { home: home.clone(), name: name.to_owned(), port, password: None, args, child: None })
    }

    /// Stops a server of `open` whose parent was killed.
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

    /// The reply to a command, as redis-cli prints it. An error is a reply too. Empty if the server is frozen.
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

    /// The number of calls of a command by clients.
    pub async fn calls(&self, command: &str) -> Result<u64> {
        let stats = self.ask(&["INFO", "commandstats"]).await?;
        let calls = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        Ok(calls.map_or(Ok(0), |calls| calls.split(',').next().unwrap_or_default().parse())?)
    }

    /// The number of clients that wait for the doorbell on this server.
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

    /// Stops the server after it has written its data to disk.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal(&child, "TERM").await?;
        child.wait().await?;
        Ok(())
    }

    /// Stops the process with SIGSTOP. Connections stay open, and nothing answers.
    pub async fn freeze(&self) -> Result<()> {
        signal(self.child.as_ref().context("it does not run")?, "STOP").await
    }

    pub async fn thaw(&self) -> Result<()> {
        signal(self.child.as_ref().context("it does not run")?, "CONT").await
    }

    /// Waits until the reply to a command fulfils the condition.
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

    /// The URL of a server without a password, such as one behind a proxy.
    pub fn url_at(addr: SocketAddr) -> String {
        format!("redis://{addr}")
    }
}
