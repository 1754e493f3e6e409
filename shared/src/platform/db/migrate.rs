//! Migrations of the database, up and down. Writes no table.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use super::{schema, without_timeouts};

/// Applies all migrations that are missing. Processes that start at the same time take turns, those of other shops too.
pub async fn up(db: &PgPool, migrator: &Migrator) -> Result<(), MigrateError> {
    make_schema(db).await?;
    let mut conn = without_timeouts(db).await?;
    take_turns(&mut conn).await?;
    migrator.run(&mut *conn).await?;
    conn.close().await?;
    Ok(())
}

/// Reverts the last `steps` migrations.
pub async fn down(db: &PgPool, migrator: &Migrator, steps: usize) -> Result<(), MigrateError> {
    let current = Some(version(db).await?);
    let mut conn = without_timeouts(db).await?;
    take_turns(&mut conn).await?;
    let versions: Vec<i64> =
        migrator.iter().filter(|m| m.migration_type.is_up_migration()).map(|m| m.version).collect();
    let applied = versions.iter().rposition(|known| Some(*known) == current).map_or(0, |last| last + 1);
    let target = applied.checked_sub(steps + 1).map_or(0, |last| versions[last]);
    migrator.undo(&mut *conn, target).await?;
    conn.close().await?;
    Ok(())
}

/// Makes the schema that the URL names, and beside it what all shops of a database share.
async fn make_schema(db: &PgPool) -> Result<(), sqlx::Error> {
    let server = db.connect_options();
    let Some(schema) = schema::named(&server) else { return Ok(()) };
    // Not from the pool, which refuses connections as long as the schema does not exist.
    let mut conn = PgConnection::connect_with(&server).await?;
    // Two that make the same schema or extension at once would fail with "duplicate key".
    take_turns(&mut conn).await?;
    let exists: bool = sqlx::query_scalar("select to_regnamespace(quote_ident($1)) is not null")
        .bind(&schema)
        .fetch_one(&mut conn)
        .await?;
    if !exists {
        sqlx::raw_sql(AssertSqlSafe(format!("create schema {}", schema::quoted(&schema)))).execute(&mut conn).await?;
    }
    // The first shop's migrations would put it into the schema of that shop, where the others do not find it.
    sqlx::raw_sql("create extension if not exists pg_trgm schema public").execute(&mut conn).await?;
    conn.close().await
}

/// The number of the advisory lock for migrations ("migr" in ASCII). Closing the connection releases the lock.
const MIGRATING: i64 = 0x6d69_6772;
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Waits until no other process migrates. It asks again and again instead of waiting in Postgres, as sqlx would: a statement
/// that waits has a snapshot, and `create index concurrently` waits for all snapshots.
async fn take_turns(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    while !sqlx::query_scalar::<_, bool>("select pg_try_advisory_lock($1)")
        .bind(MIGRATING)
        .fetch_one(&mut *conn)
        .await?
    {
        tokio::time::sleep(ASK_AGAIN).await;
    }
    Ok(())
}

/// The version of the last migration that was applied; 0 if none was.
pub async fn version(db: &PgPool) -> Result<i64, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(db).await?;
    if !exists {
        return Ok(0);
    }
    sqlx::query_scalar("select coalesce(max(version), 0) from _sqlx_migrations").fetch_one(db).await
}
