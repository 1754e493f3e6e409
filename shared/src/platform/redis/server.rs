//! Where Redis is, and connections to it: one server, the master that Sentinels know, or a cluster. Whatever talks to
//! Redis connects here. Writes no table.
//!
//! Nobody mends a connection. Whoever gets an error on one gives it up and asks for another, and that looks anew for
//! who is master: the old one may be dead, frozen, or alive and a replica. So there is one way out of every failure.

use std::time::Duration;

use futures::FutureExt;
use futures::future::select_ok;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo,
    Pipeline, RedisError, RedisFuture, RedisResult, Role, Value, cmd,
};
use secrecy::{ExposeSecret, SecretString};

/// Every call to Redis but the blocking one is this short; its loss costs latency only.
pub const REDIS_TIMEOUT: Duration = Duration::from_millis(250);
/// To be connected may take several calls, one after the other, some of them to nodes that are gone.
const CONNECTED_WITHIN: Duration = Duration::from_secs(2);
/// A key that has moved to another node is followed there, once; what else fails is for whoever asks.
const REDIRECTIONS: u32 = 1;

/// What a setting such as `REDIS_URL` names.
#[derive(Clone)]
pub enum Server {
    One(Client),
    Sentinel(Sentinels),
    Cluster(Vec<ConnectionInfo>),
}

/// Those who know which of several servers is the master now.
#[derive(Clone)]
pub struct Sentinels {
    nodes: Vec<Client>,
    name: String,
    /// How to enter the master, wherever it is.
    master: ConnectionInfo,
}

/// A connection to any of them. Cloning it clones a handle.
#[derive(Clone)]
pub enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Server {
    /// Reads `redis://user:password@host:port/db`, `redis+sentinel://user:password@host,host/name/db` and
    /// `redis+cluster://user:password@host,host`; `rediss` is the same over TLS. The error does not quote the address.
    pub fn parse(url: &SecretString) -> RedisResult<Self> {
        let url = url.expose_secret();
        if let Some((scheme, rest)) = url.split_once("+sentinel://") {
            return Sentinels::parse(scheme, rest).map(Self::Sentinel);
        }
        let Some((scheme, rest)) = url.split_once("+cluster://") else { return Client::open(url).map(Self::One) };
        let (login, hosts) = rest.rsplit_once('@').unwrap_or(("", rest));
        // It would be the last host's alone.
        if hosts.contains(['/', '?']) {
            return Err(error("a cluster has no databases, and no options"));
        }
        let nodes = each(scheme, login, hosts)?;
        cluster(nodes.clone(), REDIS_TIMEOUT)?;
        Ok(Self::Cluster(nodes))
    }

    pub fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// A new connection, to who is master now. No answer on it takes longer than `longest`.
    pub async fn connect(&self, longest: Duration) -> RedisResult<Connection> {
        let connect = async {
            match self {
                Self::One(client) => connect(client, longest).await.map(Connection::One),
                Self::Sentinel(sentinels) => sentinels.connect(longest).await.map(Connection::One),
                Self::Cluster(nodes) => {
                    cluster(nodes.clone(), longest)?.get_async_connection().await.map(Connection::Cluster)
                }
            }
        };
        tokio::time::timeout(CONNECTED_WITHIN, connect).await.unwrap_or_else(|_| Err(error("nobody answers in time")))
    }
}

impl Sentinels {
    fn parse(scheme: &str, rest: &str) -> RedisResult<Self> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (rest, path) = rest.split_once('/').ok_or_else(|| error("the master's name is missing"))?;
        let (login, hosts) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (name, db) = path.split_once('/').unwrap_or((path, ""));
        if name.is_empty() {
            return Err(error("the master's name is missing"));
        }
        let (mut user, mut password) = ("", "");
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sentinel_user", value)) => user = value,
                Some(("sentinel_password", value)) => password = value,
                _ => return Err(error("it has an option that is not known")),
            }
        }
        let login_there = if query.is_empty() { String::new() } else { format!("{user}:{password}") };
        let nodes = each(scheme, &login_there, hosts)?.into_iter().map(Client::open).collect::<RedisResult<_>>()?;
        let anywhere = format!("{}/{db}", address(scheme, login, "anywhere"));
        Ok(Self { nodes, name: name.to_owned(), master: anywhere.into_connection_info()? })
    }

    /// All are asked at once, and the first answer that proves right is taken: one that is dead, frozen or behind must
    /// not keep us from the others.
    async fn connect(&self, longest: Duration) -> RedisResult<MultiplexedConnection> {
        let asked = self.nodes.iter().map(|sentinel| self.connect_as_told_by(sentinel, longest).boxed());
        select_ok(asked).await.map(|(connection, _others)| connection)
    }

    async fn connect_as_told_by(&self, sentinel: &Client, longest: Duration) -> RedisResult<MultiplexedConnection> {
        let mut sentinel = connect(sentinel, REDIS_TIMEOUT).await?;
        let (host, port): (String, u16) =
            cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name).query_async(&mut sentinel).await?;
        let addr = match self.master.addr().clone() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        let mut master = connect(&Client::open(self.master.clone().set_addr(addr))?, longest).await?;
        // A master that was replaced while it was away believes to be one until it is told otherwise.
        match cmd("ROLE").query_async(&mut master).await? {
            Role::Primary { .. } => Ok(master),
            _ => Err(error("what a Sentinel calls the master is not one")),
        }
    }
}

async fn connect(client: &Client, longest: Duration) -> RedisResult<MultiplexedConnection> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(REDIS_TIMEOUT)).set_response_timeout(Some(longest));
    client.get_multiplexed_async_connection_with_config(&config).await
}

fn cluster(nodes: Vec<ConnectionInfo>, longest: Duration) -> RedisResult<ClusterClient> {
    ClusterClient::builder(nodes)
        .connection_timeout(REDIS_TIMEOUT)
        .response_timeout(longest)
        .retries(REDIRECTIONS)
        // Milliseconds; by itself it would wait for a second.
        .min_retry_wait(1)
        .max_retry_wait(20)
        .build()
}

/// The address of each of these hosts.
fn each(scheme: &str, login: &str, hosts: &str) -> RedisResult<Vec<ConnectionInfo>> {
    hosts.split(',').map(|host| address(scheme, login, host).into_connection_info()).collect()
}

fn address(scheme: &str, login: &str, host: &str) -> String {
    let at = if login.is_empty() { "" } else { "@" };
    format!("{scheme}://{login}{at}{host}")
}

fn error(what: &'static str) -> RedisError {
    (ErrorKind::Client, what).into()
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// A connection for one user, made when it is needed, and kept for as long as it answers.
pub struct Kept {
    server: Server,
    connection: Option<Connection>,
}

impl Kept {
    pub fn new(server: Server) -> Self {
        Self { server, connection: None }
    }

    /// What is asked must be harmless when it is asked twice: a connection that has died unnoticed is replaced.
    pub async fn ask<T: FromRedisValue>(&mut self, ask: &Pipeline) -> RedisResult<T> {
        if let Some(mut connection) = self.connection.take()
            && let Ok(answer) = ask.query_async(&mut connection).await
        {
            self.connection = Some(connection);
            return Ok(answer);
        }
        let mut connection = self.server.connect(REDIS_TIMEOUT).await?;
        let answer = ask.query_async(&mut connection).await?;
        self.connection = Some(connection);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> RedisResult<Server> {
        Server::parse(&url.to_owned().into())
    }

    #[test]
    fn an_address_names_one_server_sentinels_or_a_cluster() {
        for one in ["redis://h", "redis://:p@h:1/2", "rediss://u:p@h:1", "redis://h?protocol=resp3"] {
            assert!(matches!(parse(one), Ok(Server::One(_))), "{one}");
        }
        for cluster in ["redis+cluster://h", "redis+cluster://u:p%40@h:1,i:2", "rediss+cluster://[::1]:1,i:2"] {
            assert!(matches!(parse(cluster), Ok(Server::Cluster(_))), "{cluster}");
        }
        for wrong in [
            "",
            "h:1",
            "redes://h",
            "redis+sentinel://h:1",
            "redis+sentinel://h:1/",
            "redis+sentinel:///name",
            "redis+sentinel://h:1,/name",
            "redis+sentinel://h:x/name",
            "redis+sentinel://h:1/name/first",
            "redis+sentinel://h:1/name?password=p",
            "redes+sentinel://h:1/name",
            "redis+cluster://",
            "redis+cluster://h:1,",
            "redis+cluster://h:1/3",
            "redis+cluster://h:1,i:2/3",
            "redis+cluster://h:1?protocol=resp3",
            "redis+nothing://h:1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sentinels_and_master_have_logins_of_their_own() {
        let url = "rediss+sentinel://u:p%40%2C@h:1,i:2/main/3?sentinel_user=s&sentinel_password=q%26";
        let Ok(Server::Sentinel(Sentinels { nodes, name, master })) = parse(url) else { panic!("it is right") };
        assert_eq!(name, "main");
        let settings = master.redis_settings();
        assert_eq!((settings.username(), settings.password(), settings.db()), (Some("u"), Some("p@,"), 3));
        assert!(matches!(master.addr(), ConnectionAddr::TcpTls { insecure: false, .. }));
        for (sentinel, host, port) in [(&nodes[0], "h", 1), (&nodes[1], "i", 2)] {
            let info = sentinel.get_connection_info();
            let ConnectionAddr::TcpTls { host: there, port: at, .. } = info.addr() else { panic!("{:?}", info.addr()) };
            assert_eq!((&**there, *at), (host, port));
            let settings = info.redis_settings();
            assert_eq!((settings.username(), settings.password(), settings.db()), (Some("s"), Some("q&"), 0));
        }
    }
}
