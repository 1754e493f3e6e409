//! A Postgres that replaces its primary by itself, as one would run it: three servers with Patroni, etcd, and HAProxy, whose
//! address always leads to the primary.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::home::{Home, free_port, signal};
use crate::postgres::{Access, postgres_bin};
use crate::wait::Wait;

const NODES: usize = 3;

pub struct Patroni {
    home: Home,
    software: Software,
    pub nodes: Vec<Node>,
    port: u16,
    etcd: Child,
    haproxy: Child,
}

/// What every agent needs.
struct Software {
    python: PathBuf,
    /// Patroni's packages.
    packages: PathBuf,
    /// The port of etcd.
    etcd: u16,
}

/// A server of Postgres, and its agent, which starts, stops and promotes it.
pub struct Node {
    address: NodeAddress,
    agent: Child,
}

struct NodeAddress {
    name: String,
    data: PathBuf,
    port: u16,
    rest: u16,
}

impl Patroni {
    /// Starts everything, and waits until the primary has a synchronous standby. In the repository, `.dev/tools/patroni` has
    /// Patroni's packages and `deploy/patroni` the configuration.
    pub async fn start(home: &Home, repository: &Path) -> Result<Self> {
        // The user who runs Postgres may not be able to read the repository.
        let packages = home.folder("patroni")?.join("packages");
        let from = repository.join(".dev/tools/patroni");
        let copied = Command::new("cp").arg("-r").arg(&from).arg(&packages).status().await?;
        ensure!(copied.success(), "{} is missing; `./dev test` installs it", from.display());
        let shipped = repository.join("deploy/patroni");
        write_config(home, &shipped)?;
        let python = PathBuf::from("/usr/bin/python3");
        let python = if python.exists() { python } else { "python3".into() };
        let (etcd, store) = start_etcd(home).await?;
        let software = Software { python, packages, etcd: store };
        let mut nodes = Vec::new();
        for index in 1..=NODES {
            let data = home.dir.join(format!("patroni/db{index}"));
            let address = NodeAddress { name: format!("db{index}"), data, port: free_port(), rest: free_port() };
            nodes.push(Node { agent: agent(home, &software, &address)?, address });
        }
        let (haproxy, port) = start_haproxy(home, &shipped, &nodes)?;
        let group = Self { home: home.clone(), software, nodes, port, etcd, haproxy };
        group.until_complete().await?;
        Ok(group)
    }

    /// Through HAProxy.
    pub fn access(&self) -> Access {
        Access { user: "millrace", addr: (Ipv4Addr::LOCALHOST, self.port).into(), schema: None }
    }

    /// The index of the primary, as the agents say. None during a failover.
    pub async fn leader(&self) -> Option<usize> {
        for node in &self.nodes {
            let members = node.members().await.unwrap_or_default();
            let leader = members.iter().find(|member| member["role"] == "leader" && member["state"] == "running");
            if let Some(leader) = leader {
                return self.nodes.iter().position(|node| leader["name"] == *node.address.name);
            }
        }
        None
    }

    /// Waits until another server than this one is the primary.
    pub async fn until_another_leads(&self, before: usize) -> Result<()> {
        let log = self.home.log(&format!("patroni-{}", self.nodes[before].address.name));
        let wait = Wait::for_("another server is the primary", &log);
        while self.leader().await.is_none_or(|leader| leader == before) {
            wait.a_moment().await?;
        }
        Ok(())
    }

    /// Waits until all servers run, one as the primary and one as its synchronous standby. Returns the index of the primary.
    pub async fn until_complete(&self) -> Result<usize> {
        let log = self.home.log("patroni-db1");
        let wait = Wait::for_("Patroni has a primary and a synchronous standby", &log);
        loop {
            if let Some(leader) = self.leader().await {
                let members = self.nodes[leader].members().await.unwrap_or_default();
                let are = |role: &str, states: &[&str]| {
                    members
                        .iter()
                        .filter(|one| one["role"] == role && states.iter().any(|s| one["state"] == *s))
                        .count()
                };
                let standbys = are("sync_standby", &["streaming"]);
                if standbys == 1 && are("replica", &["streaming"]) == NODES - 2 {
                    return Ok(leader);
                }
            }
            wait.a_moment().await?;
        }
    }

    /// Asks Patroni to make another server the primary.
    pub async fn switch_over(&self, from: usize) -> Result<()> {
        let leader = &self.nodes[from];
        let body = json!({ "leader": leader.address.name }).to_string();
        let url = format!("http://127.0.0.1:{}/switchover", leader.address.rest);
        let asked = Command::new("curl").args(["-sS", "--max-time", "60", "-d", &body, &url]).output().await?;
        let answer = String::from_utf8_lossy(&asked.stdout);
        ensure!(answer.contains("Successfully"), "Patroni did not switch over: {answer}");
        Ok(())
    }

    /// Starts the agent of a server again, after it was killed.
    pub async fn start_agent(&mut self, index: usize) -> Result<()> {
        let node = &mut self.nodes[index];
        node.agent.wait().await?;
        node.agent = agent(&self.home, &self.software, &node.address)?;
        Ok(())
    }

    pub async fn stop(mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.agent.kill().await?;
            node.signal_postgres("QUIT").await.ok();
        }
        self.haproxy.kill().await?;
        Ok(self.etcd.kill().await?)
    }
}

impl Drop for Patroni {
    /// After a test that failed. The servers of Postgres are no children of ours.
    fn drop(&mut self) {
        for node in &self.nodes {
            if let Ok(pid) = node.postmaster() {
                drop(
                    std::process::Command::new("kill")
                        .args(["-QUIT", &pid])
                        .stderr(std::process::Stdio::null())
                        .status(),
                );
            }
        }
    }
}

impl Node {
    /// What this server's agent knows of all servers.
    async fn members(&self) -> Result<Vec<Value>> {
        let url = format!("http://127.0.0.1:{}/cluster", self.address.rest);
        let asked = Command::new("curl").args(["-sS", "--max-time", "1", &url]).output().await?;
        let mut answer: Value = serde_json::from_slice(&asked.stdout)?;
        Ok(serde_json::from_value(answer["members"].take())?)
    }

    fn postmaster(&self) -> Result<String> {
        let file = std::fs::read_to_string(self.address.data.join("postmaster.pid"))?;
        Ok(file.lines().next().context("the pid file is empty")?.to_owned())
    }

    /// Sends a signal to the agent: KILL, STOP, CONT.
    pub async fn signal_agent(&self, name: &str) -> Result<()> {
        signal(&self.agent, name).await
    }

    /// Sends a signal to the first process of Postgres: KILL, QUIT.
    pub async fn signal_postgres(&self, name: &str) -> Result<()> {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.postmaster()?]).status().await?;
        ensure!(sent.success(), "Postgres of {} could not be sent {name}", self.address.name);
        Ok(())
    }

    /// Sends a signal (STOP, CONT) to all processes of Postgres.
    pub async fn signal_all_of_postgres(&self, name: &str) -> Result<()> {
        self.signal_postgres(name).await?;
        let children = Command::new("pkill").args([&format!("-{name}"), "-P", &self.postmaster()?]).status().await?;
        ensure!(children.success(), "the children of Postgres of {} could not be sent {name}", self.address.name);
        Ok(())
    }
}

/// Starts an agent with the configuration that we ship. What differs from one server to another comes from the environment.
fn agent(home: &Home, software: &Software, node: &NodeAddress) -> Result<Child> {
    let at = |port: u16| format!("127.0.0.1:{port}");
    let mut command = home.server(&software.python, &format!("patroni-{}", node.name))?;
    command.args(["-m", "patroni"]).arg(home.dir.join("patroni/patroni.yml"));
    command.env("PYTHONPATH", &software.packages).env("PATRONI_NAME", &node.name);
    command.env("PATRONI_RESTAPI_LISTEN", at(node.rest)).env("PATRONI_RESTAPI_CONNECT_ADDRESS", at(node.rest));
    command.env("PATRONI_POSTGRESQL_LISTEN", at(node.port)).env("PATRONI_POSTGRESQL_CONNECT_ADDRESS", at(node.port));
    command.env("PATRONI_POSTGRESQL_DATA_DIR", &node.data).env("PATRONI_POSTGRESQL_BIN_DIR", postgres_bin(home));
    command.env("PATRONI_POSTGRESQL_PGPASS", node.data.with_extension("pgpass"));
    command.env("PATRONI_ETCD3_HOSTS", at(software.etcd));
    command.env("PATRONI_SUPERUSER_USERNAME", "millrace").env("PATRONI_SUPERUSER_PASSWORD", "secret");
    command.env("PATRONI_REPLICATION_PASSWORD", "secret");
    command.spawn().context("Patroni")
}

/// Our configuration, but for two things: tests connect without a password, and to a database without Millrace's roles.
fn write_config(home: &Home, shipped: &Path) -> Result<()> {
    let text = std::fs::read_to_string(shipped.join("patroni.yml"))?;
    let text = text.replace("scram-sha-256", "trust").replace("  post_init: /etc/patroni/post_init.sh\n", "");
    Ok(std::fs::write(home.folder("patroni")?.join("patroni.yml"), text)?)
}

async fn start_etcd(home: &Home) -> Result<(Child, u16)> {
    let (port, peer, data) = (free_port(), free_port(), home.folder("etcd")?);
    let (clients, peers) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer}"));
    let mut etcd = home.server(Path::new("etcd"), "etcd")?;
    etcd.arg("--data-dir").arg(data).args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    etcd.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    etcd.args(["--initial-cluster", &format!("default={peers}")]);
    let mut etcd = etcd.spawn().context("etcd; `./dev test` installs it")?;
    let log = home.log("etcd");
    let wait = Wait::for_("etcd answers", &log);
    let health = format!("{clients}/health");
    while !Command::new("curl").args(["-sf", "--max-time", "1", "-o", "/dev/null", &health]).status().await?.success() {
        if let Some(ended) = etcd.try_wait()? {
            bail!("etcd ended with {ended}; its log is {}", log.display());
        }
        wait.a_moment().await?;
    }
    Ok((etcd, port))
}

/// With the configuration that we ship.
fn start_haproxy(home: &Home, shipped: &Path, nodes: &[Node]) -> Result<(Child, u16)> {
    let (port, config) = (free_port(), home.folder("patroni")?.join("haproxy.cfg"));
    std::fs::copy(shipped.join("haproxy.cfg"), &config)?;
    let mut haproxy = home.server(Path::new("haproxy"), "haproxy")?;
    haproxy.arg("-f").arg(config).env("LISTEN", format!("127.0.0.1:{port}"));
    for (number, Node { address, .. }) in (1..).zip(nodes) {
        haproxy.env(format!("DB{number}"), format!("127.0.0.1:{}", address.port));
        haproxy.env(format!("DB{number}_AGENT_PORT"), address.rest.to_string());
    }
    Ok((haproxy.spawn().context("HAProxy; `./dev test` installs it")?, port))
}
