//! The migrations, compiled into the programs. Writes no table; the migrations make them all.

pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");
