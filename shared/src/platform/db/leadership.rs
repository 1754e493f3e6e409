//! Work that one process of all does at a time. Writes no table.
//!
//! The leader holds an advisory lock in a transaction that stays open and does nothing else. It has no snapshot and no id, so
//! it keeps nothing from being cleaned up. A lock of the session would be simpler, but behind a pooler the session of a client
//! is not one of Postgres: two processes could both have it, or nobody could give it back.

use std::time::Duration;

use sqlx::{Error, PgPool, Postgres, Transaction};
use tokio::time::interval;

use super::beside;

/// How often a leader says that it is there, within its patience.
const BEATS: u32 = 4;

/// A process that may become the leader of its shop. It has a connection of its own.
pub struct Candidate {
    own: PgPool,
    lock: i64,
    patience: Duration,
}

impl Candidate {
    /// `lock` is any constant number. With the name of the schema it gives the advisory lock, so that each shop of a database
    /// has its own leader. A frozen process keeps its connections open, so Postgres takes the
    /// leadership from a leader that says nothing for `patience`.
    pub fn new(db: &PgPool, lock: i64, patience: Duration) -> Self {
        Self { own: beside(db), lock, patience }
    }

    /// None: another process leads.
    pub async fn lead(&self) -> Result<Option<Leadership>, Error> {
        let mut tx = self.own.begin().await?;
        let leads: bool = sqlx::query_scalar(
            "select case when pg_try_advisory_xact_lock(hashtextextended(current_schema()::text, $1))
                         then set_config('idle_in_transaction_session_timeout', $2, true) is not null else false end",
        )
        .bind(self.lock)
        .bind(format!("{}ms", self.patience.as_millis()))
        .fetch_one(&mut *tx)
        .await?;
        if !leads {
            tx.rollback().await?;
            return Ok(None);
        }
        Ok(Some(Leadership { tx, beat: self.patience / BEATS }))
    }
}

/// Lasts until it is dropped, or the connection is lost.
pub struct Leadership {
    tx: Transaction<'static, Postgres>,
    beat: Duration,
}

impl Leadership {
    /// Works until the work is done or the leadership is lost. What it was doing then is dropped in the middle.
    pub async fn during<T, E: From<Error>>(mut self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let done = tokio::select! {
            done = work => done,
            lost = self.lost() => return Err(lost.into()),
        };
        // The work is done, so a failure here does no harm: the connection is closed then.
        self.tx.rollback().await.ok();
        done
    }

    async fn lost(&mut self) -> Error {
        let mut every = interval(self.beat);
        loop {
            every.tick().await;
            if let Err(error) = sqlx::query("select").execute(&mut *self.tx).await {
                return error;
            }
        }
    }
}
