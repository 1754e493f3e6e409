//! The real binaries.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::process::Child;

use crate::home::{Home, logged, signal};
use crate::wait::{PATIENCE, Wait};

/// Signs the access tokens of one run.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEICK0wiYbFsopBwLBYPARWckKJ59173Cc2Vfg7GOSjm+S
-----END PRIVATE KEY-----
";

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
        let own = [("WORKER_ADDR", "127.0.0.1:0"), ("PAYMENT_PROVIDER", "simulated"), ("SIMULATED_SCRIPTS", "on")];
        Self::new(home, bins.join("millrace-worker"), name, &own, settings)
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

    /// Runs the binary with other arguments until it ends, such as `migrate`.
    pub async fn run(&self, args: &[&str]) -> Result<()> {
        let log = self.log();
        let mut command = logged(&self.program, &log)?;
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
