//! Which of several servers is the primary, and the one way to it. Writes no table.
//!
//! A process asks all servers all the time who they are. Its connections go through a door: a Unix socket of its
//! own, behind which every byte is carried, unread, to the primary and to nobody else. When another server becomes
//! the primary, the door is shut, what goes through it is cut, and a door to the new one is opened. So nothing hangs
//! on a server that is frozen or cut off, whoever uses the connection and however long it would wait; and nothing
//! comes to a server that does not know yet that it was replaced. What is cut is a lost connection like any other.

use std::cmp::Reverse;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use uuid::Uuid;

use crate::platform::db::ACQUIRE_TIMEOUT;

/// How often every server is asked who it is: a question that reads no table, on a connection that is kept.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Who does not answer within this is not there. With the interval it bounds how long a promotion goes unseen.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Between two tries to reach a primary that refuses connections, because it is being started again.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks the servers for as long as somebody wants to know, and tells how to connect to the primary.
pub(super) fn follow(servers: Vec<PgConnectOptions>) -> watch::Receiver<PgConnectOptions> {
    // Until a primary is found the way leads to a door that nobody has opened. Connections there are refused, and
    // the pool tries again until its own limit, as it does with one server that is not up yet.
    let (way, follower) = watch::channel(servers[0].clone().socket(nowhere()));
    let watcher = Watcher {
        servers: servers.into_iter().map(|options| Server { options, conn: None }).collect(),
        reign: Leadership::default(),
        door: None,
        way,
    };
    tokio::spawn(watcher.run());
    follower
}

struct Watcher {
    servers: Vec<Server>,
    reign: Leadership,
    door: Option<JoinSet<()>>,
    way: watch::Sender<PgConnectOptions>,
}

impl Watcher {
    async fn run(mut self) {
        let mut every = interval(ASK_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = None;
        while !self.way.is_closed() {
            every.tick().await;
            let answers = join_all(self.servers.iter_mut().map(Server::ask)).await;
            let reign = self.reign.after(&answers);
            if known != Some(reign.server) || (reign.server.is_some() && self.door.is_none()) {
                self.lead_to(reign, &answers);
            }
            known = Some(reign.server);
            self.reign = reign;
        }
    }

    /// Shuts the door to the primary that was, and opens one to the primary that is.
    fn lead_to(&mut self, reign: Leadership, answers: &[Option<Role>]) {
        self.door = None;
        let Some(server) = reign.server else { return self.complain(answers) };
        let options = &self.servers[server].options;
        let (host, port) = (options.get_host(), options.get_port());
        let name = nowhere();
        match open(&name, host, port) {
            Ok(door) => {
                tracing::info!(host, port, timeline = reign.timeline, "the primary of Postgres is {host}:{port}");
                self.way.send_replace(options.clone().socket(name));
                self.door = Some(door);
            }
            Err(error) => tracing::error!(%error, "no way to the primary could be opened: {error}"),
        }
    }

    /// Says why there is nobody to go to. Said once, since it is asked again all the time.
    fn complain(&self, answers: &[Option<Role>]) {
        let said = |(server, answer): (&Server, &Option<Role>)| {
            let what = match answer {
                None => "does not answer",
                Some(Role::Standby) => "is a standby",
                Some(Role::Primary { .. }) => "was replaced and does not know yet",
            };
            format!("{}:{} {what}", server.options.get_host(), server.options.get_port())
        };
        let servers: Vec<String> = self.servers.iter().zip(answers).map(said).collect();
        tracing::warn!("no server of DATABASE_URL is the primary, for now: {}", servers.join(", "));
    }
}

/// Who reigns, and since which promotion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Leadership {
    server: Option<usize>,
    timeline: i64,
}

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Standby,
    /// Every promotion begins a new timeline, so of two that believe to be the primary the later one is.
    Primary {
        timeline: i64,
    },
}

impl Leadership {
    /// Who reigns by the answers of all. Never one of an older timeline than was seen: it was replaced, and does not
    /// know yet. On the same timeline nobody takes over: its server may only be slow to answer.
    fn after(self, answers: &[Option<Role>]) -> Self {
        let claims = answers.iter().enumerate().filter_map(|(server, role)| match role {
            Some(Role::Primary { timeline }) => Some(Self { server: Some(server), timeline: *timeline }),
            _ => None,
        });
        let takes_over = |claim: &Self| {
            claim.timeline > self.timeline
                || claim.timeline == self.timeline && (self.server.is_none() || claim.server == self.server)
        };
        let reigns = claims.filter(takes_over).max_by_key(|claim| (claim.timeline, Reverse(claim.server)));
        let steps_down = self.server.is_some_and(|server| answers[server] == Some(Role::Standby));
        reigns.unwrap_or(if steps_down { Self { server: None, ..self } } else { self })
    }
}

/// A server, and the connection on which it is asked.
struct Server {
    options: PgConnectOptions,
    conn: Option<PgConnection>,
}

impl Server {
    async fn ask(&mut self) -> Option<Role> {
        let answer = timeout(ANSWER_WITHIN, self.role()).await;
        if !matches!(answer, Ok(Ok(_))) {
            tracing::debug!(host = self.options.get_host(), "a server of Postgres does not answer: {answer:?}");
            self.conn = None;
        }
        answer.ok()?.ok()
    }

    async fn role(&mut self) -> sqlx::Result<Role> {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            none => {
                // A server that hangs is asked again all the time: no line each.
                let options = self.options.clone().application_name("millrace-watch").disable_statement_logging();
                none.insert(PgConnection::connect_with(&options).await?)
            }
        };
        // The first eight digits of the name of the log's present file are the timeline.
        let timeline: Option<i64> = sqlx::query_scalar(
            "select case when not pg_is_in_recovery()
                         then ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint end",
        )
        .fetch_one(conn)
        .await?;
        Ok(timeline.map_or(Role::Standby, |timeline| Role::Primary { timeline }))
    }
}

/// A name of a socket that has no file (the first byte is zero), so that nothing is left behind and no folder must
/// be writable. Whoever else is on this machine could connect to it, as to the server itself, and no further.
fn nowhere() -> PathBuf {
    format!("\0millrace-{}", Uuid::now_v7().simple()).into()
}

/// Opens a door to a server. Dropping what it answers shuts it, and cuts all that goes through.
fn open(name: &Path, host: &str, port: u16) -> io::Result<JoinSet<()>> {
    // So does libpq name the socket of a port.
    let listener = UnixListener::bind(name.join(format!(".s.PGSQL.{port}")))?;
    let host = host.to_owned();
    let mut door = JoinSet::new();
    door.spawn(async move {
        let mut passing = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = passing.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((client, _)) => _ = passing.spawn(carry(client, host.clone(), port)),
                    // No file descriptor is left, mostly: one may be in a moment.
                    Err(_) => sleep(PAUSE).await,
                },
            }
        }
    });
    Ok(door)
}

/// Carries what is said between a client and the server, until one of them ends it.
async fn carry(mut client: UnixStream, host: String, port: u16) {
    let reach = async {
        loop {
            match TcpStream::connect((host.as_str(), port)).await {
                Ok(server) => return server,
                Err(_) => sleep(PAUSE).await,
            }
        }
    };
    // Who waits for a connection does not wait longer than this.
    let Ok(mut server) = timeout(ACQUIRE_TIMEOUT, reach).await else { return };
    // Whatever ends it, both are closed, and the client knows.
    if server.set_nodelay(true).is_ok() {
        copy_bidirectional(&mut client, &mut server).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDBY: Option<Role> = Some(Role::Standby);
    const SILENT: Option<Role> = None;

    const fn primary(timeline: i64) -> Role {
        Role::Primary { timeline }
    }

    const fn reign(server: usize, timeline: i64) -> Leadership {
        Leadership { server: Some(server), timeline }
    }

    #[test]
    fn the_primary_is_whoever_was_promoted_last() {
        let nobody = Leadership { server: None, timeline: 3 };
        for (before, answers, after) in [
            // At the start.
            (Leadership::default(), [SILENT, SILENT], Leadership::default()),
            (Leadership::default(), [STANDBY, STANDBY], Leadership::default()),
            (Leadership::default(), [STANDBY, Some(primary(1))], reign(1, 1)),
            (Leadership::default(), [Some(primary(4)), Some(primary(3))], reign(0, 4)),
            (Leadership::default(), [Some(primary(2)), Some(primary(2))], reign(0, 2)),
            // A promotion, with the old primary gone, unaware, or a standby already.
            (reign(0, 3), [SILENT, Some(primary(4))], reign(1, 4)),
            (reign(0, 3), [Some(primary(3)), Some(primary(4))], reign(1, 4)),
            (reign(0, 3), [STANDBY, Some(primary(4))], reign(1, 4)),
            // The old one comes back, alone.
            (reign(1, 4), [Some(primary(3)), SILENT], reign(1, 4)),
            (reign(1, 4), [Some(primary(3)), STANDBY], Leadership { server: None, timeline: 4 }),
            // Slow to answer is not gone; another on the same timeline is not its heir.
            (reign(0, 3), [SILENT, STANDBY], reign(0, 3)),
            (reign(0, 3), [SILENT, Some(primary(3))], reign(0, 3)),
            (reign(0, 3), [Some(primary(3)), Some(primary(3))], reign(0, 3)),
            // It steps down, and somebody takes its place.
            (reign(0, 3), [STANDBY, STANDBY], nobody),
            (nobody, [STANDBY, Some(primary(2))], nobody),
            (nobody, [STANDBY, Some(primary(4))], reign(1, 4)),
            (nobody, [Some(primary(3)), STANDBY], reign(0, 3)),
        ] {
            assert_eq!(before.after(&answers), after, "{before:?} {answers:?}");
        }
    }
}
