//! A million of everything, in minutes: set-based SQL (`fill.sql`), one step after the other in one transaction,
//! so that a database is filled or as it was.

use std::time::Instant;

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use shared::error::Error;
use shared::identity::{self, Role};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// What everybody in a filled database logs in with.
pub const PASSWORD: &str = "bench bench bench";
pub const STAFF: &str = "staff@bench.test";
pub const ADMIN: &str = "admin@bench.test";

const STEPS: &str = include_str!("fill.sql");

pub async fn run(url: &SecretString, rows: u32) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut conn = PgConnection::connect(url.expose_secret()).await.context("DATABASE_URL")?;
    shared::MIGRATOR.run(&mut conn).await.context("the database could not be migrated")?;
    let filled = "select exists (select from products) or exists (select from orders)";
    if sqlx::query_scalar(filled).fetch_one(&mut conn).await? {
        bail!("the database is not empty; make a new one for this");
    }
    make_people(url).await?;

    let mut tx = conn.begin().await?;
    let indexes = step("drop indexes", drop_indexes(&mut tx)).await?;
    for part in STEPS.split("-- ## ").skip(1) {
        let (name, sql) = part.split_once('\n').context("a step has a name and a text")?;
        step(name, execute(&mut tx, sql.replace(":rows", &rows.to_string()))).await?;
    }
    for (name, definition) in indexes {
        step(&name, execute(&mut tx, definition)).await?;
    }
    step("commit", tx.commit()).await?;
    // Also tells which pages all can see, as in a database that is not just filled.
    step("vacuum, analyze", execute(&mut conn, "vacuum (analyze)".to_owned())).await?;

    let size: String =
        sqlx::query_scalar("select pg_size_pretty(pg_database_size(current_database()))").fetch_one(&mut conn).await?;
    println!("filled in {:.0} s: {size}", start.elapsed().as_secs_f64());
    Ok(())
}

/// The first people, whose password hash all others get: a million would take a day to compute.
async fn make_people(url: &SecretString) -> anyhow::Result<()> {
    let db = shared::db::pool(url.expose_secret(), 1, "millrace-bench")?;
    for (email, role) in [(STAFF, Role::Staff), (ADMIN, Role::Admin)] {
        let password = PASSWORD.to_owned().try_into()?;
        match identity::create_user(&db, email.parse()?, password, "Bench".parse()?, role).await {
            Ok(_) | Err(Error::EmailTaken) => {} // Taken: by an attempt to fill that failed.
            Err(error) => return Err(error.into()),
        }
    }
    db.close().await;
    Ok(())
}

/// Indexes are built several times faster over rows that are there. Those that keep a constraint stay.
async fn drop_indexes(conn: &mut PgConnection) -> sqlx::Result<Vec<(String, String)>> {
    let indexes: Vec<(String, String)> = sqlx::query_as(
        "select indexrelid::regclass::text, pg_get_indexdef(indexrelid)
           from pg_index i join pg_class t on t.oid = i.indrelid
          where t.relnamespace = 'public'::regnamespace and not i.indisunique
            and not exists (select from pg_constraint where conindid = i.indexrelid)
          order by 1",
    )
    .fetch_all(&mut *conn)
    .await?;
    for (name, _) in &indexes {
        execute(conn, format!("drop index {name}")).await?;
    }
    Ok(indexes)
}

async fn execute(conn: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
}

async fn step<T>(name: &str, work: impl Future<Output = sqlx::Result<T>>) -> anyhow::Result<T> {
    let start = Instant::now();
    let done = work.await.with_context(|| name.to_owned())?;
    println!("{name:<32} {:>6.1} s", start.elapsed().as_secs_f64());
    Ok(done)
}
