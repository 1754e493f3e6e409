//! Connects to Redis: one server, the master that Sentinels report, or a cluster. All code that uses Redis connects here.
//! Writes no table.
//!
//! A connection is never repaired. After an error the caller drops it and connects again, which finds out again which server
//! is the master: the old one may be dead, frozen, or a replica now. So there is one way to recover from every failure.
//!
//! Why not the Sentinel client of the `redis` crate: it asks one Sentinel after the other, so a frozen one delays us, and it
//! trusts the answer. We ask all at once, and check with `ROLE` that the server really is a master.

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

/// The timeout of every call to Redis, except for the blocking one. A call that fails costs latency, never data.
pub const REDIS_TIMEOUT: Duration = Duration::from_millis(250);
/// The timeout for connecting, which may take several calls, some of them to nodes that are gone.
const CONNECTED_WITHIN: Duration = Duration::from_secs(2);
/// How often the client follows a key that has moved to another node. It does not retry after other errors.
const REDIRECTIONS: u32 = 1;

/// The address in a setting such as `REDIS_URL`.
#[derive(Clone)]
pub enum Server {
    One(Client),
    Sentinel(Sentinels),
    Cluster(Vec<ConnectionInfo>),
}

/// The Sentinels that know which server is the master.
#[derive(Clone)]
pub struct Sentinels {
    nodes: Vec<Client>,
    name: String,
    /// Login, database and TLS of the master; its host and port come from the Sentinels.
    master: ConnectionInfo,
}

/// A connection to any of these. Cloning is cheap.
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
        // It would apply to the last host only.
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

    /// A new connection to the current master. A call on it that takes longer than `longest` fails.
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
        tokio::time::timeout(CONNECTED_WITHIN, connect)
            .await
            .unwrap_or_else(|_| Err(error("no server answered in time")))
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

    /// Asks all Sentinels at once and uses the first answer that leads to a master, so that a Sentinel that is dead, frozen or
    /// out of date does not delay us.
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
        // A master that was replaced while it was cut off says that it is the master until a Sentinel reconfigures it.
        match cmd("ROLE").query_async(&mut master).await? {
            Role::Primary { .. } => Ok(master),
            _ => Err(error("the server that a Sentinel reported as the master is a replica")),
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
        // Milliseconds. The default is more than a second.
        .min_retry_wait(1)
        .max_retry_wait(20)
        .build()
}

/// The connection options of each host in a list.
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

/// A connection with one user. It is made when needed, and kept as long as it works.
pub struct Kept {
    server: Server,
    connection: Option<Connection>,
}

impl Kept {
    pub fn new(server: Server) -> Self {
        Self { server, connection: None }
    }

    /// Runs the commands, a second time on a new connection if the first one fails. So they must be harmless when they run twice.
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
