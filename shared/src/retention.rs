//! Deletes rows that are too old, once a minute: jobs, workers, idempotency keys, sessions, statistics. Also erases old payment tokens. It works in steps: a step
//! locks few rows and ends soon, so nobody waits for it. The audit deletes its own old runs.

use std::time::{Duration, Instant};

use sqlx::{PgConnection, PgPool};

use crate::error::Result;
use crate::history::fold;
use crate::idempotency;
use crate::identity::{known_networks, sessions};
use crate::ops;
use crate::orders::pay;
use crate::queue::prune;
use crate::schedule;
use crate::webhooks::prune as prune_webhooks;

/// Rows deleted by one statement: some tens of milliseconds.
const STEP: i64 = 5_000;
/// A run that needs longer stops, and the next run goes on.
const TIME: Duration = Duration::from_secs(30);

/// A payment that is not decided after a week waits for a person, who rarely needs the token. Providers' tokens seldom live
/// longer.
const PAYMENT_TOKENS_KEPT: Duration = Duration::from_hours(7 * 24);

/// The kinds of rows that get old. Each module knows how long its rows are kept.
#[derive(Debug, Clone, Copy)]
enum Old {
    DoneJobs,
    DiscardedJobs,
    SilentWorkers,
    IdempotencyKeys,
    Sessions,
    KnownNetworks,
    PaymentTokens,
    Schedules,
    TakenOrders,
    EndedDeliveries,
    DeletedWebhooks,
    WebhookBodies,
    /// Added up to longer steps first.
    History,
}

impl Old {
    const ALL: [Self; 13] = [
        Self::DoneJobs,
        Self::DiscardedJobs,
        Self::SilentWorkers,
        Self::IdempotencyKeys,
        Self::Sessions,
        Self::KnownNetworks,
        Self::PaymentTokens,
        Self::Schedules,
        Self::TakenOrders,
        Self::EndedDeliveries,
        Self::DeletedWebhooks,
        Self::WebhookBodies,
        Self::History,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::DoneJobs => "jobs done",
            Self::DiscardedJobs => "jobs discarded",
            Self::SilentWorkers => "workers gone",
            Self::IdempotencyKeys => "idempotency keys",
            Self::Sessions => "sessions",
            Self::KnownNetworks => "known networks",
            Self::PaymentTokens => "payment tokens",
            Self::Schedules => "schedules",
            Self::TakenOrders => "orders taken",
            Self::EndedDeliveries => "webhook deliveries",
            Self::DeletedWebhooks => "deliveries of deleted webhooks",
            Self::WebhookBodies => "webhook bodies",
            Self::History => "statistics",
        }
    }

    /// Deletes up to `limit` rows and returns how many it deleted.
    async fn remove(self, conn: &mut PgConnection, limit: i64) -> Result<u64> {
        match self {
            Self::DoneJobs => prune::remove_done(conn, prune::DONE_KEPT, limit).await,
            Self::DiscardedJobs => ops::jobs::remove_discarded(conn, limit).await,
            Self::SilentWorkers => prune::remove_silent_workers(conn, limit).await,
            Self::IdempotencyKeys => idempotency::remove_expired(conn, limit).await,
            Self::Sessions => sessions::remove_expired(conn, limit).await,
            Self::KnownNetworks => known_networks::remove_old(conn, limit).await,
            Self::PaymentTokens => pay::erase_old_tokens(conn, PAYMENT_TOKENS_KEPT, limit).await,
            Self::Schedules => schedule::remove_unused(conn).await,
            Self::TakenOrders => ops::taken::remove_old(conn, limit).await,
            Self::EndedDeliveries => prune_webhooks::remove_ended(conn, limit).await,
            Self::DeletedWebhooks => prune_webhooks::remove_deleted(conn, limit).await,
            Self::WebhookBodies => prune_webhooks::remove_bodies(conn, limit).await,
            Self::History => fold::remove_old(conn, limit).await,
        }
    }
}

/// Deletes everything that is too old.
pub async fn run(db: &PgPool) -> Result<()> {
    let started = Instant::now();
    for old in Old::ALL {
        let mut removed = 0;
        loop {
            let step = old.remove(&mut *db.acquire().await?, STEP).await?;
            removed += step;
            if step < STEP.unsigned_abs() || started.elapsed() > TIME {
                break;
            }
        }
        if removed > 0 {
            let what = old.name();
            tracing::debug!(what, removed, "removed {removed} {what}");
        }
    }
    Ok(())
}
