//! What is kept for how long. Each minute what is older is removed, in steps: a step locks few rows and ends
//! soon, so nobody waits for it. The dead stay until a person acts, and the audit forgets its own runs.

use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::{PgConnection, PgPool};

use crate::error::Result;
use crate::idempotency;
use crate::identity::sessions;
use crate::queue::prune;

/// Rows in one statement: some tens of milliseconds.
const STEP: i64 = 5_000;
/// A run that finds more than it can remove goes on at the next minute.
const TIME: Duration = Duration::from_secs(30);

/// Removes so many at most, and tells how many.
type Remove = for<'c> fn(&'c mut PgConnection, i64) -> BoxFuture<'c, Result<u64>>;

/// By what they remove. Each knows how long its rows are kept.
const REMOVALS: [(&str, Remove); 5] = [
    ("jobs done", |conn, limit| prune::remove_done(conn, prune::DONE_KEPT, limit).boxed()),
    ("jobs discarded", |conn, limit| prune::remove_discarded(conn, limit).boxed()),
    ("workers gone", |conn, limit| prune::remove_silent_workers(conn, limit).boxed()),
    ("idempotency keys", |conn, limit| idempotency::remove_expired(conn, limit).boxed()),
    ("sessions", |conn, limit| sessions::remove_expired(conn, limit).boxed()),
];

/// Removes what is too old.
pub async fn run(db: &PgPool) -> Result<()> {
    let started = Instant::now();
    for (what, remove) in REMOVALS {
        let mut removed = 0;
        loop {
            let step = remove(&mut *db.acquire().await?, STEP).await?;
            removed += step;
            if step < STEP.unsigned_abs() || started.elapsed() > TIME {
                break;
            }
        }
        if removed > 0 {
            tracing::debug!(what, removed, "removed {removed} {what}");
        }
    }
    Ok(())
}
