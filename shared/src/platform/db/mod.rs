//! Connection pools to Postgres, and the meaning of Postgres's errors. Writes no table.

pub mod fence;
pub mod leadership;
pub mod migrate;
pub mod roles;
pub mod schema;
mod url;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr};

use fence::Fence;
pub use url::DatabaseUrl;

/// A request that gets no connection within this fails. Its client had better try again than wait longer.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// The longest time for one statement. None of ours takes this long unless something is wrong.
const STATEMENT_TIMEOUT: &str = "5s";

/// The same for reports: nobody waits for them at a checkout, and they are made of index look-ups too.
const REPORT_TIMEOUT: &str = "2s";

/// Reports take their turn on so many connections of each process, about a quarter of what the other requests have.
const REPORT_CONNECTIONS: u32 = 4;

/// The longest wait for a lock. A batch holds its locks for milliseconds.
const LOCK_TIMEOUT: &str = "3s";

/// Postgres ends transactions that do nothing for this long: they would keep it from removing old rows of the queue.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "10s";

/// A pool whose connections have the limits above. It connects at the first query, so a process can start, and report what
/// is wrong, while the database is down.
pub fn pool(url: &str, max_connections: u32, application: &str) -> Result<PgPool, sqlx::Error> {
    let configuration = |why: String| sqlx::Error::Configuration(why.into());
    let url = url.parse().map_err(|why: &str| configuration(why.to_owned()))?;
    let fence = Fence::new(None).map_err(|error| configuration(error.to_string()))?;
    Ok(Database::new(url, fence).pool(max_connections, application))
}

/// The way to the database; all pools of a process share one.
pub struct Database {
    server: PgConnectOptions,
    pub fence: Arc<Fence>,
}

impl Database {
    pub fn new(DatabaseUrl(server): DatabaseUrl, fence: Fence) -> Self {
        Self { server, fence: Arc::new(fence) }
    }

    pub fn pool(&self, max_connections: u32, application: &str) -> PgPool {
        self.pool_with(max_connections, application, STATEMENT_TIMEOUT)
    }

    /// A small pool for statements that clients compose. It is apart from the pool of the other requests, so that reports
    /// never keep an order from being placed.
    pub fn pool_for_reports(&self, application: &str) -> PgPool {
        self.pool_with(REPORT_CONNECTIONS, application, REPORT_TIMEOUT)
    }

    fn pool_with(&self, max_connections: u32, application: &str, statement_timeout: &'static str) -> PgPool {
        let (fence, schema) = (self.fence.clone(), schema::named(&self.server));
        PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(move |conn, _| {
                let (fence, schema) = (fence.clone(), schema.clone());
                async move {
                    fence.check(conn).await?;
                    match schema {
                        Some(schema) => schema::check(conn, &schema).await,
                        None => Ok(()),
                    }
                }
                .boxed()
            })
            .connect_lazy_with(limited(&self.server, application, statement_timeout))
    }
}

/// One connection beside a pool, with the same limits and checks, for work that must not wait for a place in the pool.
pub fn beside(pool: &PgPool) -> PgPool {
    let one = pool.options().clone().max_connections(1).min_connections(0);
    one.connect_lazy_with((*pool.connect_options()).clone())
}

/// The same, connected.
pub async fn connect_beside(pool: &PgPool) -> Result<PgConnection, sqlx::Error> {
    Ok(beside(pool).acquire().await?.detach())
}

fn limited(server: &PgConnectOptions, application: &str, statement_timeout: &'static str) -> PgConnectOptions {
    server.clone().application_name(application).options([
        ("statement_timeout", statement_timeout),
        ("lock_timeout", LOCK_TIMEOUT),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
        // Our statements are index look-ups; compiling them would cost more than running them.
        ("jit", "off"),
        // For SSDs and memory. With the default of 4, which is for hard disks, the planner avoids a better index of a list:
        // it reads a million rows in order of id and filters them, instead of a few random ones.
        ("random_page_cost", "1.1"),
        // Every statement has an index. A plan that was made while a table was nearly empty would read all of it until the
        // table is analyzed, up to a minute later: after a night without orders, each claim of a morning's sale.
        ("enable_seqscan", "off"),
        // Our statements read a few rows. Postgres cannot always know that, and starting helpers takes it 30 ms: with a
        // million orders, each look for events without a position took 60 ms instead of 0.4.
        ("max_parallel_workers_per_gather", "0"),
    ])
}

/// Is this error transient (connection lost, lock timeout, shutdown), so that the same statement may succeed later?
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

/// Is this error about the values of the statement (SQLSTATE 22 or 23), so that the same statement with other values may
/// succeed? `Error::is_about_data` answers the same for errors of the domain.
pub fn is_about_data(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// The name of the constraint that a statement violated. The caller turns it into an error of the domain.
pub fn broken_constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::constraint)
}

/// A connection without timeouts, for migrations and repairs. The caller closes it, so that it does not return to the pool.
pub async fn without_timeouts(db: &PgPool) -> Result<sqlx::pool::PoolConnection<Postgres>, sqlx::Error> {
    let mut conn = db.acquire().await?;
    sqlx::query("set statement_timeout = 0").execute(&mut *conn).await?;
    sqlx::query("set lock_timeout = 0").execute(&mut *conn).await?;
    Ok(conn)
}

/// Until the end of the transaction, Postgres takes an index that has the rows in the order of the list rather than another
/// one and a sort. A table that goes from no row of a state to millions within minutes needs this: with statistics from
/// before, sorting "one row" costs nothing.
pub async fn prefer_ordered_indexes(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("set local enable_sort = off").execute(conn).await?;
    Ok(())
}

// One plan for all arguments: statements that run for batches of any size hide an array from the planner, by
// `(select $1::uuid[])`. If it knew the length, it would take a plan for ten entries for more expensive than one for exactly
// these, and so plan a batch of one anew each time. That took a fifth of Postgres's time.

/// Runs a checked query with a plan for exactly these arguments: `query.fetch_all(CustomPlan(conn))`.
///
/// Every list needs this. In `$1 is null or id = $1`, the planner can use the index of a filter only if it knows which
/// arguments are null. Postgres uses one plan for all arguments of a prepared statement that runs often.
/// `persistent(false)` would avoid that, but the result of the `query!` macros has no such method.
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
