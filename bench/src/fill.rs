//! Fills a database with millions of rows in minutes. The steps of `fill.sql` run in one transaction, so the database
//! is either filled or unchanged.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use shared::error::Error;
use shared::identity::users;
use shared::principal::Role;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::MissedTickBehavior;

use crate::report::say;

/// The password of every user in a filled database.
pub const PASSWORD: &str = "bench bench bench";
pub const STAFF: &str = "staff@bench.test";
pub const ADMIN: &str = "admin@bench.test";

/// Disk space for one row, with the temporary space of the fill. It predicts how long the fill takes.
const BYTES_A_ROW: f64 = 7_500.0;

/// How often a long step prints its progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

const STEPS: &str = include_str!("fill.sql");

/// Gives history a part for each of these past months, and drops the parts that are there.
const PAST_MONTHS: &str = include_str!("../../testkit/src/past_months.sql");
/// The orders of `fill.sql` are at most two years old.
const MONTHS: &str = "25";

pub async fn run(url: &SecretString, rows: u32) -> anyhow::Result<()> {
    let mut conn = PgConnection::connect(url.expose_secret()).await.context("DATABASE_URL")?;
    shared::migrations::MIGRATOR.run(&mut conn).await.context("the database could not be migrated")?;
    let filled = "select exists (select from products) or exists (select from orders)";
    if sqlx::query_scalar(filled).fetch_one(&mut conn).await? {
        bail!("the database is not empty; create a new database for this");
    }
    create_users(url).await?;

    let watching = PgConnection::connect(url.expose_secret()).await?;
    let mut progress = Progress { watching, rows, start: Instant::now() };
    let mut tx = conn.begin().await?;
    let dropped = progress.step("drop indexes and references", drop_indexes_and_references(&mut tx)).await?;
    progress.step("months", execute(&mut tx, PAST_MONTHS.replace("{months}", MONTHS))).await?;
    for part in STEPS.split("-- ## ").skip(1) {
        let (name, sql) = part.split_once('\n').context("a step has a name and a text")?;
        progress.step(name, execute(&mut tx, sql.replace(":rows", &rows.to_string()))).await?;
    }
    for (name, definition) in dropped {
        progress.step(&name, execute(&mut tx, definition)).await?;
    }
    progress.step("commit", tx.commit()).await?;
    let invalid: Vec<String> =
        sqlx::query_scalar("select indexrelid::regclass::text from pg_index where not indisvalid")
            .fetch_all(&mut conn)
            .await?;
    if !invalid.is_empty() {
        bail!("these indexes were not created again: {}", invalid.join(", "));
    }
    // Also sets the visibility map, which a database that was just filled lacks.
    progress.step("vacuum, analyze", execute(&mut conn, "vacuum (analyze)".to_owned())).await?;
    say(format!("filled in {:.0} s: {:.2} GB", progress.start.elapsed().as_secs_f64(), progress.bytes().await? / 1e9));
    Ok(())
}

/// Creates the first users. All others get their password hash, because computing a million hashes would take a day.
pub async fn create_users(url: &SecretString) -> anyhow::Result<()> {
    let db = shared::platform::db::pool(url.expose_secret(), 1, "millrace-bench")?;
    for (email, role) in [(STAFF, Role::Staff), (ADMIN, Role::Admin)] {
        let password = PASSWORD.to_owned().try_into()?;
        match users::create_user(&db, email.parse()?, password, "Bench".parse()?, role).await {
            Ok(_) | Err(Error::EmailTaken) => {} // Taken: by an attempt to fill that failed.
            Err(error) => return Err(error.into()),
        }
    }
    db.close().await;
    Ok(())
}

/// Drops indexes and foreign keys. Building them over existing rows is several times faster. Indexes of constraints
/// stay. Returns the names and statements that create them again, foreign keys last.
async fn drop_indexes_and_references(conn: &mut PgConnection) -> sqlx::Result<Vec<(String, String)>> {
    let dropped: Vec<(String, String, String)> = sqlx::query_as(
        "select indexrelid::regclass::text, 'drop index ' || indexrelid::regclass,
                -- Of a table in parts it says ONLY, which would leave the parts without the index.
                replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
           from pg_index i join pg_class t on t.oid = i.indrelid
          where t.relnamespace = 'public'::regnamespace and not i.indisunique
            and not exists (select from pg_constraint where conindid = i.indexrelid)
            and not exists (select from pg_inherits where inhrelid = i.indexrelid)
         union all
         select 'reference ' || conname, format('alter table %s drop constraint %I', conrelid::regclass, conname),
                format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
           from pg_constraint where contype = 'f' and connamespace = 'public'::regnamespace
          order by 2 desc, 1",
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut again = Vec::new();
    for (name, drop, create) in dropped {
        execute(conn, drop).await?;
        again.push((name, create));
    }
    Ok(again)
}

async fn execute(conn: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
}

/// Prints the progress of the fill.
struct Progress {
    /// Another connection: the size of the database includes rows that are not committed yet.
    watching: PgConnection,
    rows: u32,
    start: Instant,
}

impl Progress {
    async fn step<T>(&mut self, name: &str, work: impl Future<Output = sqlx::Result<T>>) -> anyhow::Result<T> {
        let start = Instant::now();
        let mut pulse = tokio::time::interval(PROGRESS_INTERVAL);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pulse.tick().await; // The first tick comes at once.
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => {
                    say(format!("{name:<32} {:>6.1} s", start.elapsed().as_secs_f64()));
                    return done.with_context(|| name.to_owned());
                }
                _ = pulse.tick() => self.print(name).await?,
            }
        }
    }

    async fn print(&mut self, name: &str) -> anyhow::Result<()> {
        let (there, all) = (self.bytes().await?, f64::from(self.rows) * BYTES_A_ROW);
        let rate = there / self.start.elapsed().as_secs_f64();
        let left = (all - there).max(0.0) / rate;
        say(format!(
            "{name}: {:.1} of about {:.1} GB, {:.0} MB a second, about {left:.0} s left",
            there / 1e9,
            all / 1e9,
            rate / 1e6
        ));
        Ok(())
    }

    async fn bytes(&mut self) -> sqlx::Result<f64> {
        let size = "select pg_database_size(current_database())::float8";
        sqlx::query_scalar(size).fetch_one(&mut self.watching).await
    }
}
