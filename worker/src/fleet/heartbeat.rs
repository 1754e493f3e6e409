//! Sends the heartbeat of this worker, and learns from it which queues are paused.

use std::sync::Arc;
use std::time::Duration;

use shared::queue::claim::Claimer;
use shared::queue::{Queue, WorkerId, heartbeat};
use sqlx::PgPool;

use crate::fleet::interval::every;
use crate::fleet::slots::Slots;

/// The pause between two heartbeats. It is also how long a worker may not notice that a queue was paused.
const HEARTBEAT: Duration = Duration::from_secs(1);

pub async fn keep_beating(
    db: PgPool,
    claimer: Claimer,
    queues: Vec<Queue>,
    slots: Arc<Slots>,
    concurrency: usize,
    warnings: Vec<String>,
) {
    let mut every = every(HEARTBEAT);
    loop {
        every.tick().await;
        let beat = async {
            let mut conn = db.acquire().await?;
            heartbeat::beat(&mut conn, &claimer, &queues, slots.begun(), concurrency, &warnings).await
        };
        match beat.await {
            Ok(paused) => slots.set_paused(paused),
            Err(error) => tracing::warn!(%error, "the heartbeat failed: {error}"),
        }
    }
}

/// Writes that this worker stops. A failure is harmless: a worker without heartbeats counts as gone.
pub async fn leave(db: &PgPool, worker: WorkerId) {
    let left = async {
        let mut conn = db.acquire().await?;
        heartbeat::leave(&mut conn, worker).await
    };
    if let Err(error) = left.await {
        tracing::warn!(%error, "it could not be written down that this worker stops: {error}");
    }
}
