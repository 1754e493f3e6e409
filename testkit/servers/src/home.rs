//! The folder of a group of servers: their data and logs, and the user that runs them.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, anyhow, ensure};
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::shutdown::Asked;
use crate::wait::Wait;

/// The user who runs the servers if we are root, because Postgres refuses to run as root.
const OWNER: &str = "postgres";

#[derive(Debug, Clone)]
pub struct Home {
    pub dir: PathBuf,
    /// User and group of `OWNER`, if we are root.
    owner: Option<(u32, u32)>,
}

impl Home {
    /// Creates a new folder. Every user must be able to enter `parent`, as with the system's temporary folder.
    pub async fn new(parent: &Path) -> Result<Self> {
        Self::at(parent.join(format!("millrace-{}", Uuid::now_v7().simple()))).await
    }

    /// Uses a folder that may exist already, with the data of an earlier run.
    pub async fn at(dir: PathBuf) -> Result<Self> {
        fs::create_dir_all(dir.join("log")).with_context(|| format!("{} cannot be created", dir.display()))?;
        let home = Self { dir, owner: owner().await? };
        home.give(&home.dir)?;
        Ok(home)
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join("log").join(format!("{name}.log"))
    }

    pub fn remove(&self) -> Result<()> {
        Ok(fs::remove_dir_all(&self.dir)?)
    }

    /// Runs the work with a new folder. At the end, also after Ctrl-C, all started processes end and the folder is
    /// removed. If the work fails, the logs are kept.
    pub async fn during<T>(work: impl AsyncFnOnce(&Self) -> Result<T>) -> Result<T> {
        let home = Self::new(&std::env::temp_dir()).await?;
        let mut asked = Asked::listen()?;
        let (done, keep) = tokio::select! {
            done = work(&home) => { let keep = done.is_err(); (done, keep) }
            _ = asked.next() => (Err(anyhow!("interrupted")), false),
        };
        home.clear(keep).await?;
        if keep { done.with_context(|| format!("the logs are in {}", home.dir.join("log").display())) } else { done }
    }

    /// Retries the removal, because a server that was just killed may still write for a moment.
    pub async fn clear(&self, keep_logs: bool) -> Result<()> {
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

    /// Creates a folder that a server may write to.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir)?;
        self.give(&dir)?;
        Ok(dir)
    }

    /// Makes the servers' user the owner of a path.
    pub fn give(&self, path: &Path) -> Result<()> {
        if let Some((user, group)) = self.owner {
            chown(path, Some(user), Some(group))?;
        }
        Ok(())
    }

    /// A command that runs as the servers' user. Its output is appended to its log.
    pub(crate) fn server(&self, program: &Path, name: &str) -> Result<Command> {
        let mut command = logged(program, &self.log(name))?;
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        Ok(command)
    }

    /// Can the servers' user enter this folder?
    pub async fn can_enter(dir: &Path) -> Result<bool> {
        let mut test = Command::new("test");
        test.arg("-x").arg(dir.join(".")).current_dir("/");
        if let Some((user, group)) = owner().await? {
            test.uid(user).gid(group);
        }
        Ok(test.status().await?.success())
    }
}

async fn owner() -> Result<Option<(u32, u32)>> {
    if id(&["-u"]).await? != 0 {
        return Ok(None);
    }
    let missing =
        || format!("root starts Postgres as the user {OWNER}, which is missing; create it: useradd --system {OWNER}");
    Ok(Some((id(&["-u", OWNER]).await.with_context(missing)?, id(&["-g", OWNER]).await.with_context(missing)?)))
}

async fn id(args: &[&str]) -> Result<u32> {
    let output = Command::new("id").args(args).output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("`id {}` printed no number", args.join(" ")))
}

pub(crate) fn logged(program: &Path, log: &Path) -> Result<Command> {
    let log = File::options().create(true).append(true).open(log)?;
    let mut command = Command::new(program);
    command.current_dir("/").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    // Its own process group: a Ctrl-C in the terminal reaches only us, and we stop the servers in order.
    command.process_group(0);
    Ok(command)
}

pub(crate) async fn signal(child: &Child, name: &str) -> Result<()> {
    let pid = child.id().context("the process has ended")?;
    let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().await?;
    ensure!(sent.success(), "process {pid} could not be sent {name}");
    Ok(())
}

/// Stops a server whose parent was killed, if the process in its pid file runs this program.
pub(crate) async fn stop_left_over(pid_file: &Path, program: &str, signal: &str) -> Result<()> {
    let text = fs::read_to_string(pid_file).unwrap_or_default();
    let Some(pid) = text.lines().next().map(str::trim).filter(|pid| !pid.is_empty()) else { return Ok(()) };
    if !runs(pid, program).await? {
        return Ok(());
    }
    _ = Command::new("kill").args([signal, pid]).status().await?;
    let wait = Wait::for_("a server that an earlier run left behind stops", pid_file);
    while runs(pid, program).await? {
        wait.a_moment().await?;
    }
    Ok(())
}

/// Does this process run this program? Another process may have this number by now.
async fn runs(pid: &str, program: &str) -> Result<bool> {
    // On Linux we read /proc, because a bare Debian has no `ps`: `123 (redis-server) S …`. Z means that the process has
    // ended.
    let line = if Path::new("/proc/self").exists() {
        fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default()
    } else {
        let ps = Command::new("ps").args(["-p", pid, "-o", "comm=,stat="]).output().await?;
        String::from_utf8_lossy(&ps.stdout).into_owned()
    };
    Ok(line.contains(program) && !line.contains(") Z"))
}

/// A free port below the kernel's range of ephemeral ports, so that a server can get the same port again after a
/// restart.
pub fn free_port() -> u16 {
    loop {
        let port = 20_000 + u16::try_from(Uuid::new_v4().as_u128() % 10_000).expect("it is small");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
