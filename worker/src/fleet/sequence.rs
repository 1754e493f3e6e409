//! Numbers the events of the feed while this process is the one that does. Otherwise it tries to become that one.

use std::time::{Duration, Instant};

use shared::error::{Error, Result};
use shared::feed::{retention, sequencer};
use shared::platform::db;
use shared::platform::db::leadership::Candidate;
use sqlx::{PgConnection, PgPool};
use tokio::time::sleep;

/// Between two passes while there is news. Shorter would only make more and smaller commits.
const BUSY: Duration = Duration::from_millis(25);
/// The longest pause. An event is in the feed 2 s after its commit at the latest, also when another worker has to take over.
const IDLE: Duration = Duration::from_millis(200);
/// After a failure that does not pass by itself.
const FAILED: Duration = Duration::from_secs(5);
/// Between two rounds of removing what is too old.
const SWEEP: Duration = Duration::from_mins(1);

/// How long Postgres waits for a process that is frozen.
const PATIENCE: Duration = Duration::from_secs(1);

/// `kept` is how long the feed keeps an event.
pub async fn keep_sequencing(db: PgPool, kept: Duration) {
    let candidate = Candidate::new(&db, sequencer::LOCK, PATIENCE);
    loop {
        let pause = match lead(&candidate, &db, kept).await {
            Ok(()) => IDLE,
            Err(error @ Error::Unavailable(_)) => {
                tracing::debug!(%error, "the feed could not be numbered: {error}");
                IDLE
            }
            Err(error) => {
                tracing::error!(%error, "the feed cannot be numbered: {error}");
                FAILED
            }
        };
        sleep(pause).await;
    }
}

/// Numbers as long as this process leads. Returns at once if another process does.
async fn lead(candidate: &Candidate, db: &PgPool, kept: Duration) -> Result<()> {
    match candidate.lead().await? {
        Some(leadership) => leadership.during(number(db, kept)).await,
        None => Ok(()),
    }
}

async fn number(db: &PgPool, kept: Duration) -> Result<()> {
    tracing::info!("this worker numbers the feed");
    let mut conn = db::connect_beside(db).await?;
    let mut swept = None;
    loop {
        let waiting = sequencer::waiting(&mut conn).await?;
        if waiting > 0 {
            sequencer::pass(&mut conn, waiting).await?;
        }
        if swept.is_none_or(|at: Instant| at.elapsed() >= SWEEP) && remove_old(&mut conn, kept).await? {
            swept = Some(Instant::now());
        }
        sleep(if waiting > 0 { BUSY } else { IDLE }).await;
    }
}

/// One step. Is everything removed that is too old?
async fn remove_old(conn: &mut PgConnection, kept: Duration) -> Result<bool> {
    Ok(retention::remove_old(conn, kept).await? < retention::STEP)
}
