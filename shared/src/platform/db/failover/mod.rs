//! Follows the primary when `DATABASE_URL` names several servers. Writes no table.
//!
//! The process asks all servers twice a second which of them is the primary. Its pools do not connect to the primary
//! directly but to a local proxy: a private Unix socket that forwards all bytes to the current primary. When another server
//! becomes the primary, the proxy is stopped, which closes all its connections, and a proxy to the new primary is started.
//!
//! The alternative, connecting directly, fails in two ways. A query on a server that is frozen or cut off hangs until TCP
//! gives up, whatever we know by then. And a server that was replaced without noticing would still accept writes. A
//! connection that the proxy closes is a lost connection like any other: the caller gets a transient error.

mod leadership;
mod proxy;

use std::time::Duration;

use futures::future::join_all;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use leadership::{Leadership, ServerRole};

/// How often each server is asked for its role. The query reads no table, and the connection is kept.
const ASK_INTERVAL: Duration = Duration::from_millis(500);
/// A server that does not answer within this counts as silent. With the interval it bounds how long a promotion takes to
/// be noticed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Watches the servers until the receiver is dropped. The receiver holds the options to connect to the current primary.
pub(super) fn follow(servers: Vec<PgConnectOptions>, connect_timeout: Duration) -> watch::Receiver<PgConnectOptions> {
    // Until a primary is found, the options lead to a socket on which nobody listens. Connections are refused, and the pool
    // tries again until its own timeout, as it does with a single server that is not up yet.
    let nowhere = servers[0].clone().socket(proxy::unique_socket_name());
    let (target, receiver) = watch::channel(nowhere);
    let watcher = Watcher {
        servers: servers.into_iter().map(|options| Server { options, conn: None }).collect(),
        leadership: Leadership::default(),
        proxy: None,
        target,
        connect_timeout,
    };
    tokio::spawn(watcher.run());
    receiver
}

struct Watcher {
    servers: Vec<Server>,
    leadership: Leadership,
    proxy: Option<JoinSet<()>>,
    /// How the pools connect.
    target: watch::Sender<PgConnectOptions>,
    connect_timeout: Duration,
}

impl Watcher {
    async fn run(mut self) {
        let mut every = interval(ASK_INTERVAL);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = None;
        while !self.target.is_closed() {
            every.tick().await;
            let answers = join_all(self.servers.iter_mut().map(Server::ask)).await;
            let leadership = self.leadership.after(&answers);
            let proxy_is_missing = leadership.server.is_some() && self.proxy.is_none();
            if known != Some(leadership.server) || proxy_is_missing {
                self.switch_to(leadership, &answers);
            }
            known = Some(leadership.server);
            self.leadership = leadership;
        }
    }

    /// Stops the proxy to the old primary and starts one to the new primary.
    fn switch_to(&mut self, leadership: Leadership, answers: &[Option<ServerRole>]) {
        self.proxy = None;
        let Some(server) = leadership.server else { return self.log_that_there_is_no_primary(answers) };
        let options = &self.servers[server].options;
        let (host, port) = (options.get_host(), options.get_port());
        let name = proxy::unique_socket_name();
        match proxy::start(&name, host, port, self.connect_timeout) {
            Ok(proxy) => {
                tracing::info!(host, port, timeline = leadership.timeline, "the primary of Postgres is {host}:{port}");
                self.target.send_replace(options.clone().socket(name));
                self.proxy = Some(proxy);
            }
            Err(error) => tracing::error!(%error, "the proxy to the primary of Postgres cannot be started: {error}"),
        }
    }

    /// Called only when the primary was lost, so it logs one line and not one for each round of questions.
    fn log_that_there_is_no_primary(&self, answers: &[Option<ServerRole>]) {
        let describe = |(server, answer): (&Server, &Option<ServerRole>)| {
            let what = match answer {
                None => "does not answer",
                Some(ServerRole::Standby) => "is a standby",
                Some(ServerRole::Primary { .. }) => "is an old primary that was replaced",
            };
            format!("{}:{} {what}", server.options.get_host(), server.options.get_port())
        };
        let servers: Vec<String> = self.servers.iter().zip(answers).map(describe).collect();
        tracing::warn!("no server of DATABASE_URL is the primary at the moment: {}", servers.join(", "));
    }
}

/// A server, and the connection on which we ask for its role.
struct Server {
    options: PgConnectOptions,
    conn: Option<PgConnection>,
}

impl Server {
    async fn ask(&mut self) -> Option<ServerRole> {
        let answer = timeout(ANSWER_TIMEOUT, self.role()).await;
        if !matches!(answer, Ok(Ok(_))) {
            tracing::debug!(host = self.options.get_host(), "a server of Postgres does not answer: {answer:?}");
            self.conn = None;
        }
        answer.ok()?.ok()
    }

    async fn role(&mut self) -> sqlx::Result<ServerRole> {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            none => {
                // Without statement logging: sqlx would log a slow statement each time a server hangs.
                let options = self.options.clone().application_name("millrace-watch").disable_statement_logging();
                none.insert(PgConnection::connect_with(&options).await?)
            }
        };
        // The name of the current log file begins with the timeline, in eight hexadecimal digits.
        let timeline: Option<i64> = sqlx::query_scalar(
            "select case when not pg_is_in_recovery()
                         then ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint end",
        )
        .fetch_one(conn)
        .await?;
        Ok(timeline.map_or(ServerRole::Standby, |timeline| ServerRole::Primary { timeline }))
    }
}
