//! Writes statistics into the database every few seconds: what this worker did, and, one worker for all, what the queues
//! hold. They are only statistics: a failure is logged, and no job waits.

use std::sync::Arc;

use shared::history::{self, Counters, WRITE_EVERY};
use sqlx::PgPool;

use crate::fleet::interval::every;

pub async fn keep_writing(db: PgPool, counted: Arc<Counters>) {
    let mut every = every(WRITE_EVERY);
    loop {
        every.tick().await;
        write(&db, &counted).await;
        let depths = async { history::write_depths(&mut *db.acquire().await?).await };
        if let Err(error) = depths.await {
            tracing::warn!(%error, "what the queues hold could not be written down: {error}");
        }
    }
}

/// Writes what was counted since the last time.
pub async fn write(db: &PgPool, counted: &Counters) {
    if let Err(error) = counted.write(db).await {
        tracing::warn!(%error, "statistics could not be written: {error}");
    }
}
