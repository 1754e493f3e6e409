//! Servers and processes of our own, to be measured, frozen, killed and started again: Postgres, Redis, and the
//! real binaries. All that they write is in one folder. None outlives the value that stands for it.

mod postgres;
mod process;
mod redis;
pub mod several;

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use uuid::Uuid;

pub use self::redis::Redis;
pub use postgres::{Postgres, Stop};
pub use process::Process;

/// A debug build on a busy machine, or Postgres after a crash, takes some seconds to be there.
const PATIENCE: Duration = Duration::from_mins(1);

/// Who runs Postgres for root, as in `./dev`.
const OWNER: &str = "postgres";

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
        shared::platform::shutdown::when_asked(move || stop.notify_one());
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
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        fs::create_dir(&dir)?;
        self.give(&dir)?;
        Ok(dir)
    }

    /// Lets a server write to it.
    fn give(&self, path: &Path) -> Result<()> {
        if let Some((user, group)) = self.owner {
            chown(path, Some(user), Some(group))?;
        }
        Ok(())
    }

    fn server(&self, program: &Path, name: &str) -> Result<Command> {
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

async fn signal(child: &Child, name: &str) -> Result<()> {
    let pid = child.id().context("the process has ended")?;
    let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().await?;
    ensure!(sent.success(), "process {pid} could not be sent {name}");
    Ok(())
}

/// Waits for what there will be, and names the log when it does not come.
struct Wait<'a> {
    what: &'a str,
    log: &'a Path,
    deadline: Instant,
}

impl<'a> Wait<'a> {
    fn for_(what: &'a str, log: &'a Path) -> Self {
        Self { what, log, deadline: Instant::now() + PATIENCE }
    }

    async fn a_moment(&self) -> Result<()> {
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
