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

pub async fn keep_beating(db: PgPool, claimer: Claimer, queues: Vec<Queue>, slots: Arc<Slots>, warnings: Vec<String>) {
    let mut every = every(HEARTBEAT);
    loop {
        every.tick().await;
        let beat = async {
            let mut conn = db.acquire().await?;
            heartbeat::beat(&mut conn, &claimer, &queues, slots.running().len(), &warnings).await
        };
        match beat.await {
            Ok(paused) => slots.set_paused(paused),
            Err(error) => tracing::warn!(%error, "the heartbeat failed: {error}"),
        }
    }
}

/// Removes this worker from the list. A failure is harmless: after a while others remove a worker without heartbeats.
pub async fn leave(db: &PgPool, worker: WorkerId) {
    let left = async {
        let mut conn = db.acquire().await?;
        heartbeat::leave(&mut conn, worker).await
    };
    if let Err(error) = left.await {
        tracing::warn!(%error, "the worker could not be removed from the list of workers: {error}");
    }
}
