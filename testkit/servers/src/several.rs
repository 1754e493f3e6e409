//! More than one Redis: a master with a replica and three Sentinels, or a cluster of three masters with a replica each.
//! Who is gone is missed within a second, so that a failover takes a few. None outlives its value.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};

use super::{Home, Wait, free_port, signal};

/// All that Millrace is allowed to do, as `docs/deploying.md` tells operators to write it.
const USER: &str = "user millrace on >secret resetchannels -@all ~{millrace}:* ~millrace:* \
    +zadd +zcard +bzmpop +hmget +exists +evalsha +script|load +time +get +set +hget +hset +pexpire \
    +ping +role +cluster|slots +asking";
const SENTINELS_USER: &str = "user millrace on >whisper resetchannels -@all +sentinel|get-master-addr-by-name";
const MASTER: &str = "millrace";

/// Whoever has not answered by then is frozen.
const SILENT: Duration = Duration::from_secs(1);

/// One process. It keeps nothing on disk that it would read again.
pub struct Node {
    home: Home,
    name: String,
    pub port: u16,
    child: Option<Child>,
}

impl Node {
    async fn start(home: &Home, name: &str, args: &[&str], settings: &[&str]) -> Result<Self> {
        let (dir, port) = (home.folder(name)?, free_port());
        let conf = dir.join("redis.conf");
        let place = format!("port {port}\nbind 127.0.0.1\ndir {}\n", dir.display());
        fs::write(&conf, place + &settings.join("\n") + "\n")?;
        // A Sentinel writes down there what it has learned.
        home.give(&conf)?;
        let mut command = home.server(Path::new("redis-server"), name)?;
        let child = command.arg(&conf).args(args).spawn().context("redis-server; `./dev test` installs it")?;
        let node = Self { home: home.clone(), name: name.to_owned(), port, child: Some(child) };
        node.until("it answers", &["PING"], |answer| answer == "PONG").await?;
        Ok(node)
    }

    /// What a command answers, as redis-cli writes it. An error is an answer too, and so is silence.
    pub async fn ask(&self, words: &[&str]) -> Result<String> {
        let mut ask = Command::new("redis-cli");
        let answer = ask.args(["-p", &self.port.to_string()]).args(words).kill_on_drop(true).output();
        match tokio::time::timeout(SILENT, answer).await {
            Ok(answer) => Ok(String::from_utf8_lossy(&answer?.stdout).trim().to_owned()),
            Err(_frozen) => Ok(String::new()),
        }
    }

    /// How often a command was used here.
    pub async fn calls(&self, command: &str) -> Result<u64> {
        let stats = self.ask(&["INFO", "commandstats"]).await?;
        let calls = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        Ok(calls.map_or(Ok(0), |calls| calls.split(',').next().unwrap_or_default().parse())?)
    }

    /// How many clients listen to the doorbell here.
    pub async fn listeners(&self) -> Result<usize> {
        let clients = self.ask(&["CLIENT", "LIST"]).await?;
        Ok(clients.lines().filter(|client| client.contains("cmd=bzmpop")).count())
    }

    pub async fn kill(&mut self) -> Result<()> {
        self.child.take().context("it is dead already")?.kill().await?;
        Ok(())
    }

    /// Its connections stay open, and nothing answers.
    pub async fn freeze(&self) -> Result<()> {
        signal(self.child.as_ref().context("it is dead")?, "STOP").await
    }

    pub async fn thaw(&self) -> Result<()> {
        signal(self.child.as_ref().context("it is dead")?, "CONT").await
    }

    pub async fn until(&self, what: &str, words: &[&str], is_so: impl Fn(&str) -> bool) -> Result<()> {
        let (what, log) = (format!("{}: {what}", self.name), self.home.log(&self.name));
        let wait = Wait::for_(&what, &log);
        while !is_so(&self.ask(words).await?) {
            wait.a_moment().await?;
        }
        Ok(())
    }
}

/// Several servers that stand for one another.
pub struct Several {
    pub nodes: Vec<Node>,
    /// None for a cluster: its nodes decide themselves.
    sentinels: Vec<Node>,
}

impl Several {
    pub async fn with_sentinels(home: &Home) -> Result<Self> {
        // Without it a replica waits for others before it is served.
        let settings = [USER, "save \"\"", "repl-diskless-sync-delay 0"];
        let master = Node::start(home, "redis-0", &[], &settings).await?;
        let of = format!("replicaof 127.0.0.1 {}", master.port);
        let replica = Node::start(home, "redis-1", &[], &[&settings[..], &[&*of]].concat()).await?;
        replica.until("it is connected", &["ROLE"], |role| role.contains("connected")).await?;
        let monitor = format!("sentinel monitor {MASTER} 127.0.0.1 {} 2", master.port);
        let down = format!("sentinel down-after-milliseconds {MASTER} 500");
        let failover = format!("sentinel failover-timeout {MASTER} 3000");
        let mut sentinels = Vec::new();
        for index in 0..3 {
            let settings = [SENTINELS_USER, &*monitor, &*down, &*failover];
            sentinels.push(Node::start(home, &format!("sentinel-{index}"), &["--sentinel"], &settings).await?);
        }
        for sentinel in &sentinels {
            let knows = |answer: &str| answer.contains("num-slaves\n1") && answer.contains("num-other-sentinels\n2");
            sentinel.until("it knows the others", &["SENTINEL", "MASTER", MASTER], knows).await?;
        }
        Ok(Self { nodes: vec![master, replica], sentinels })
    }

    pub async fn cluster(home: &Home) -> Result<Self> {
        let mut nodes = Vec::new();
        for index in 0..6 {
            let bus = format!("cluster-port {}", free_port());
            let settings = [USER, "save \"\"", "repl-diskless-sync-delay 0", "cluster-enabled yes", &*bus];
            let settings = [&settings[..], &["cluster-node-timeout 1000"]].concat();
            nodes.push(Node::start(home, &format!("redis-{index}"), &[], &settings).await?);
        }
        let mut create = home.server(Path::new("redis-cli"), "create")?;
        create.args(["--cluster", "create"]).args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
        let made = create.args(["--cluster-replicas", "1", "--cluster-yes"]).status().await?;
        ensure!(made.success(), "the cluster was not made: {}", home.log("create").display());
        for node in &nodes {
            node.until("the cluster is whole", &["CLUSTER", "INFO"], |info| info.contains("cluster_state:ok")).await?;
            node.until("it has its part", &["ROLE"], |role| role.starts_with("master") || role.contains("connected"))
                .await?;
        }
        Ok(Self { nodes, sentinels: Vec::new() })
    }

    /// For the user who may do nothing but what Millrace does.
    pub fn url(&self) -> String {
        let hosts =
            |nodes: &[Node]| nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect::<Vec<_>>().join(",");
        if self.sentinels.is_empty() {
            return format!("redis+cluster://millrace:secret@{}", hosts(&self.nodes[..3]));
        }
        let options = "sentinel_user=millrace&sentinel_password=whisper";
        format!("redis+sentinel://millrace:secret@{}/{MASTER}?{options}", hosts(&self.sentinels))
    }

    /// Who has the doorbell now; nobody while that is being found out.
    pub async fn holder(&self) -> Result<Option<usize>> {
        if let Some(sentinel) = self.sentinels.first() {
            let addr = sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]).await?;
            let port = addr.lines().nth(1).and_then(|port| port.parse().ok());
            return Ok(self.nodes.iter().position(|node| Some(node.port) == port));
        }
        for (index, node) in self.nodes.iter().enumerate() {
            // Others answer where it has moved to.
            if node.child.is_some() && node.ask(&["ZCARD", "{millrace}:high"]).await?.parse::<u64>().is_ok() {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }
}
