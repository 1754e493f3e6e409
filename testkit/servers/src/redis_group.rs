//! Several Redis servers: a master with a replica and three Sentinels, or a cluster of three masters with one replica
//! each. They detect a lost server within a second, so a failover takes a few seconds.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::home::{Home, free_port};
use crate::redis::Redis;

/// The ACL of Millrace's user, as in `docs/deploying.md`: only the commands that Millrace needs.
const USER: &str = "user millrace on >secret resetchannels -@all ~{millrace}:* ~millrace:* \
    +zadd +zcard +zscore +bzmpop +hmget +exists +evalsha +script|load +time +get +set +hget +hset +pexpire \
    +ping +role +cluster|slots +asking";
const SENTINELS_USER: &str = "user millrace on >whisper resetchannels -@all +sentinel|get-master-addr-by-name";
const MASTER: &str = "millrace";

/// A group of servers with failover.
pub struct RedisGroup {
    pub nodes: Vec<Redis>,
    /// Empty for a cluster, whose nodes decide about a failover themselves.
    sentinels: Vec<Redis>,
}

impl RedisGroup {
    pub async fn with_sentinels(home: &Home) -> Result<Self> {
        // By default a master waits 5 s for more replicas before it sends its data to the first one.
        let settings = [USER, "save \"\"", "repl-diskless-sync-delay 0"];
        let master = Redis::node(home, "redis-0", &[], &settings).await?;
        let of = format!("replicaof 127.0.0.1 {}", master.port());
        let replica = Redis::node(home, "redis-1", &[], &[&settings[..], &[&*of]].concat()).await?;
        replica.until("it is connected", &["ROLE"], |role| role.contains("connected")).await?;
        let monitor = format!("sentinel monitor {MASTER} 127.0.0.1 {} 2", master.port());
        let down = format!("sentinel down-after-milliseconds {MASTER} 500");
        let failover = format!("sentinel failover-timeout {MASTER} 3000");
        let mut sentinels = Vec::new();
        for index in 0..3 {
            let settings = [SENTINELS_USER, &*monitor, &*down, &*failover];
            sentinels.push(Redis::node(home, &format!("sentinel-{index}"), &["--sentinel"], &settings).await?);
        }
        for sentinel in &sentinels {
            let knows = |answer: &str| answer.contains("num-slaves\n1") && answer.contains("num-other-sentinels\n2");
            sentinel.until("it knows the other Sentinels", &["SENTINEL", "MASTER", MASTER], knows).await?;
        }
        Ok(Self { nodes: vec![master, replica], sentinels })
    }

    pub async fn cluster(home: &Home) -> Result<Self> {
        let mut nodes = Vec::new();
        for index in 0..6 {
            let bus = format!("cluster-port {}", free_port());
            let settings = [USER, "save \"\"", "repl-diskless-sync-delay 0", "cluster-enabled yes", &*bus];
            let settings = [&settings[..], &["cluster-node-timeout 1000"]].concat();
            nodes.push(Redis::node(home, &format!("redis-{index}"), &[], &settings).await?);
        }
        let mut create = home.server(Path::new("redis-cli"), "create")?;
        create.args(["--cluster", "create"]).args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())));
        let made = create.args(["--cluster-replicas", "1", "--cluster-yes"]).status().await?;
        ensure!(made.success(), "the cluster was not created: {}", home.log("create").display());
        for node in &nodes {
            node.until("the cluster is complete", &["CLUSTER", "INFO"], |info| info.contains("cluster_state:ok"))
                .await?;
            node.until("the node has its role", &["ROLE"], |role| {
                role.starts_with("master") || role.contains("connected")
            })
            .await?;
        }
        Ok(Self { nodes, sentinels: Vec::new() })
    }

    /// The URL with the user that may run only the commands that Millrace needs.
    pub fn url(&self) -> String {
        let hosts = |nodes: &[Redis]| {
            nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect::<Vec<_>>().join(",")
        };
        if self.sentinels.is_empty() {
            return format!("redis+cluster://millrace:secret@{}", hosts(&self.nodes[..3]));
        }
        let options = "sentinel_user=millrace&sentinel_password=whisper";
        format!("redis+sentinel://millrace:secret@{}/{MASTER}?{options}", hosts(&self.sentinels))
    }

    /// The node that has the doorbell. None during a failover.
    pub async fn holder(&self) -> Result<Option<usize>> {
        if let Some(sentinel) = self.sentinels.first() {
            let addr = sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]).await?;
            let port = addr.lines().nth(1).and_then(|port| port.parse().ok());
            return Ok(self.nodes.iter().position(|node| Some(node.port()) == port));
        }
        for (index, node) in self.nodes.iter().enumerate() {
            // The other nodes reply with a redirection.
            if node.is_running() && node.ask(&["ZCARD", "{millrace}:high"]).await?.parse::<u64>().is_ok() {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }
}
