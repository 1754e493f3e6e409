//! Renews the leases of the jobs that run.

use std::sync::Arc;

use shared::platform::db;
use shared::queue::claim::{self, Claimer};
use sqlx::{PgConnection, PgPool};

use crate::fleet::interval::every;
use crate::fleet::slots::Slots;

/// Renews three times per lease, on a connection of its own: a busy pool must not cost a lease.
pub async fn keep_renewing(db: PgPool, claimer: Claimer, slots: Arc<Slots>) {
    let mut every = every(claimer.lease / 3);
    let mut own: Option<PgConnection> = None;
    loop {
        every.tick().await;
        let running = slots.running();
        if running.is_empty() {
            continue;
        }
        let conn = match &mut own {
            Some(conn) => conn,
            none => match db::connect_beside(&db).await {
                Ok(conn) => none.insert(conn),
                Err(error) => {
                    tracing::warn!(%error, "leases cannot be renewed: {error}");
                    continue;
                }
            },
        };
        let renewal = tokio::time::timeout(claimer.lease / 3, claim::renew(conn, &claimer, &running)).await;
        if !matches!(renewal, Ok(Ok(()))) {
            tracing::warn!(jobs = running.len(), "leases could not be renewed: {renewal:?}");
            own = None;
        }
    }
}
