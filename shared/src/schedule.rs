//! When that which runs by the clock last succeeded. Alone writes `clockwork`.

use sqlx::PgConnection;

use crate::error::Result;

/// Remembers that this has just been done.
pub async fn succeeded(conn: &mut PgConnection, name: &str) -> Result<()> {
    sqlx::query!(
        "insert into clockwork (name, last_success_at) values ($1, clock_timestamp())
         on conflict (name) do update set last_success_at = excluded.last_success_at",
        name,
    )
    .execute(conn)
    .await?;
    Ok(())
}
