//! Our binaries as processes.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::process::Child;

use crate::home::{Home, logged, signal};
use crate::wait::{TIMEOUT, Wait};

/// Signs the access tokens of one run.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEICK0wiYbFsopBwLBYPARWckKJ59173Cc2Vfg7GOSjm+S
-----END PRIVATE KEY-----
";

/// A process of `millrace-api`, of `millrace-worker`, or of the running program itself.
pub struct Process {
    pub name: String,
    home: Home,
    program: PathBuf,
    args: Vec<String>,
    settings: Vec<(String, String)>,
    child: Option<Child>,
}

impl Process {
    /// A binary in `bins` with these settings and no others. It is not started yet.
    pub fn api(home: &Home, bins: &Path, name: &str, settings: &[(&str, &str)]) -> Self {
        let own = [("API_ADDR", "127.0.0.1:0"), ("METRICS_ADDR", "127.0.0.1:0"), ("JWT_PRIVATE_KEY", KEY)];
        Self::new(home, bins.join("millrace-api"), name, &own, settings)
    }

    pub fn worker(home: &Home, bins: &Path, name: &str, settings: &[(&str, &str)]) -> Self {
        let own = [("WORKER_ADDR", "127.0.0.1:0"), ("PAYMENT_PROVIDER", "simulated"), ("SIMULATED_SCRIPTS", "on")];
        Self::new(home, bins.join("millrace-worker"), name, &own, settings)
    }

    /// A command of the bench that serves requests.
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

    /// Starts the process, and waits until its log contains its address. `RUST_LOG` must let that line through, as
    /// `info` or `warn,api::serve=info,millrace_worker=info` does. Each start takes a new port.
    pub async fn start(&mut self) -> Result<SocketAddr> {
        let log = self.log();
        let before = fs::metadata(&log).map_or(0, |file| file.len());
        let mut command = logged(&self.program, &log)?;
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

    /// Where the API's metrics are, by its log.
    pub fn metrics_addr(&self) -> Result<SocketAddr> {
        let log = fs::read_to_string(self.log())?;
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("metrics are at")).collect();
        lines.last().and_then(|line| address_in(line)).context("the log does not say where its metrics are")
    }

    /// Runs the binary with other arguments, such as `migrate`, until it ends.
    pub async fn run(&self, args: &[&str]) -> Result<()> {
        let log = self.log();
        let mut command = logged(&self.program, &log)?;
        command.env_clear().envs(self.settings.iter().map(|(name, value)| (name, value))).args(args);
        let status = command.status().await.with_context(|| self.program.display().to_string())?;
        ensure!(status.success(), "{} {} failed; its log is {}", self.name, args.join(" "), log.display());
        Ok(())
    }

    /// Sends a signal, as an operator or the kernel would: KILL, STOP, CONT, TERM.
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

    /// Waits until the process has ended after a signal.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let mut child = self.child.take().context("the server does not run")?;
        tokio::time::timeout(TIMEOUT, child.wait())
            .await
            .with_context(|| format!("{} did not stop", self.name))?
            .map_err(Into::into)
    }

    /// Stops the process gracefully. A killed worker would leave its leases behind.
    pub async fn stop(&mut self) -> Result<()> {
        self.signal("TERM").await?;
        let status = self.ended().await?;
        ensure!(status.success(), "{} ended with {status}; its log is {}", self.name, self.log().display());
        Ok(())
    }

    /// The exit status, if the process has ended without being asked to.
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
