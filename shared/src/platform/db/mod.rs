//! The pool, and what Postgres's errors mean. Writes no table.

mod primary;
pub mod roles;
mod servers;

use std::io;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr};
use tokio::sync::watch;

pub use servers::Servers;

/// A request that cannot have a connection in this time is better told so.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// One statement. Nothing that we ask for takes longer unless something is wrong.
const STATEMENT_TIMEOUT: &str = "5s";

/// Waiting for a row lock. A batch holds its locks for milliseconds.
const LOCK_TIMEOUT: &str = "3s";

/// A forgotten transaction pins old row versions and bloats the queue.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "10s";

/// A pool whose every connection has our limits. It connects when first asked, so that a process can
/// start, and say what is wrong, while the database is down.
pub fn pool(url: &str, max_connections: u32, application: &str) -> Result<PgPool, sqlx::Error> {
    let servers = url.parse().map_err(|why: &str| sqlx::Error::Configuration(why.into()))?;
    Ok(Database::at(servers).pool(max_connections, application))
}

/// How a process comes to its database: one for all its pools.
pub enum Database {
    One(Box<PgConnectOptions>),
    /// The way to whichever of several servers is the primary.
    Primary(watch::Receiver<PgConnectOptions>),
}

impl Database {
    /// Where there are several servers, they are asked from now on which of them is the primary.
    pub fn at(Servers(servers): Servers) -> Self {
        match <[PgConnectOptions; 1]>::try_from(servers) {
            Ok([one]) => Self::One(Box::new(one)),
            Err(several) => Self::Primary(primary::follow(several)),
        }
    }

    pub fn pool(&self, max_connections: u32, application: &str) -> PgPool {
        let options = PgPoolOptions::new().max_connections(max_connections).acquire_timeout(ACQUIRE_TIMEOUT);
        match self {
            Self::One(server) => options.connect_lazy_with(limited(server, application)),
            Self::Primary(way) => {
                let mut way = way.clone();
                let pool = options
                    .after_connect(|conn, _| refuse_standby(conn).boxed())
                    .connect_lazy_with(limited(&way.borrow_and_update(), application));
                tokio::spawn(keep_on_the_way(pool.clone(), way, application.to_owned()));
                pool
            }
        }
    }
}

fn limited(server: &PgConnectOptions, application: &str) -> PgConnectOptions {
    server.clone().application_name(application).options([
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("lock_timeout", LOCK_TIMEOUT),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
        // Lists and placements are index look-ups; compiling them costs more than running them.
        ("jit", "off"),
        // Disks are SSDs and what is hot is in memory. With Postgres's own 4, made for disks that turn, a list
        // walks along its ids past a million rows that the filter throws away, to save a few jumps from an index.
        ("random_page_cost", "1.1"),
    ])
}

/// A primary that was made a standby since it was last asked reads, and would tell of the past.
async fn refuse_standby(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let standby: bool = sqlx::query_scalar("select pg_is_in_recovery()").fetch_one(conn).await?;
    if standby { Err(io::Error::other("the server is a standby now").into()) } else { Ok(()) }
}

/// Those who connect beside the pool ask it how, so they are kept on the way too.
async fn keep_on_the_way(pool: PgPool, mut way: watch::Receiver<PgConnectOptions>, application: String) {
    let mut closed = pool.close_event();
    let keep = async {
        while way.changed().await.is_ok() {
            pool.set_connect_options(limited(&way.borrow_and_update(), &application));
        }
    };
    closed.do_until(keep).await.ok();
}

/// Did this fail because of the moment (a lost connection, a lock, a shutdown) and not because of the statement?
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            // connection · out of resources · operator intervention (shutdown, statement timeout) · system
            ["08", "53", "57", "58"].contains(&&code[..2])
                // serialization failure · deadlock · lock timeout · idle transaction ended · read-only (a standby)
                || ["40001", "40P01", "55P03", "25P03", "25006"].contains(&&*code)
        }),
        _ => false,
    }
}

/// Is this about the data of a statement (SQLSTATE 22, 23), so that another order's would pass?
pub fn is_about_data(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// Which constraint did this break? Its name becomes a good message where the statement stands.
pub fn broken_constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::constraint)
}

/// Brings the schema up to date. Processes that start together take turns.
pub async fn migrate(db: &PgPool) -> Result<(), sqlx::migrate::MigrateError> {
    let mut conn = patient(db).await?;
    crate::MIGRATOR.run(&mut *conn).await?;
    conn.close().await?;
    Ok(())
}

/// Takes back the last `steps` migrations.
pub async fn migrate_down(db: &PgPool, steps: usize) -> Result<(), sqlx::migrate::MigrateError> {
    let current = Some(version(db).await?);
    let mut conn = patient(db).await?;
    let versions: Vec<i64> =
        crate::MIGRATOR.iter().filter(|m| m.migration_type.is_up_migration()).map(|m| m.version).collect();
    let applied = versions.iter().rposition(|known| Some(*known) == current).map_or(0, |last| last + 1);
    let target = applied.checked_sub(steps + 1).map_or(0, |last| versions[last]);
    crate::MIGRATOR.undo(&mut *conn, target).await?;
    conn.close().await?;
    Ok(())
}

/// A connection for work that may take as long as it needs. It is closed afterwards and not given back.
async fn patient(db: &PgPool) -> Result<sqlx::pool::PoolConnection<Postgres>, sqlx::Error> {
    let mut conn = db.acquire().await?;
    sqlx::query("set statement_timeout = 0").execute(&mut *conn).await?;
    sqlx::query("set lock_timeout = 0").execute(&mut *conn).await?;
    Ok(conn)
}

/// The last migration that was applied; 0 for none.
pub async fn version(db: &PgPool) -> Result<i64, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(db).await?;
    if !exists {
        return Ok(0);
    }
    sqlx::query_scalar("select coalesce(max(version), 0) from _sqlx_migrations").fetch_one(db).await
}

/// Runs a checked query with a plan for exactly these arguments: `query.fetch_all(CustomPlan(conn))`.
///
/// Every list needs it. With `$1 is null or id = $1`, only a plan that knows which filters are null uses the
/// index of the others, and Postgres keeps one plan for all arguments of a statement that it sees often.
/// `persistent(false)` asks for that, but what the checked macros return has no such method.
#[derive(Debug)]
pub struct CustomPlan<'c>(pub &'c mut PgConnection);

struct Unprepared<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unprepared<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}

impl<'c> Executor<'c> for CustomPlan<'c> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.0.fetch_many(Unprepared(query))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.0.fetch_optional(Unprepared(query))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.0.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.0.describe(sql)
    }
}
