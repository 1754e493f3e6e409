//! Readers that wait for news of the feed. They hold no connection to the database: one task in each process looks at the
//! head of the feed, and only while somebody waits. Writes no table.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cursor::After;
use super::read::{self, FeedFilter, FeedPage};
use crate::error::{Error, Result};

/// Between two looks at the head.
const PAUSE: Duration = Duration::from_millis(100);
/// A look that takes longer has failed: Postgres does not answer.
const LONGEST_LOOK: Duration = Duration::from_secs(2);
/// Requests of this process that wait at the same time: each takes a connection of its client.
const MAX_WAITING: usize = 500;
/// Of these, so many read at once. One event wakes all of them, and orders need the database too.
const READING: usize = 4;

/// The readers of this process.
pub struct FeedReaders {
    db: PgPool,
    stopping: CancellationToken,
    /// The last position that the task has seen.
    head: watch::Sender<i64>,
    reading: Semaphore,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    readers: usize,
    is_watched: bool,
}

impl FeedReaders {
    pub fn new(db: PgPool, stopping: CancellationToken) -> Arc<Self> {
        let (head, _) = watch::channel(0);
        Arc::new(Self { db, stopping, head, reading: Semaphore::new(READING), waiting: Mutex::default() })
    }

    /// The next page. With `wait`, it answers when an event passes the filter, at the latest after that time.
    pub async fn page(
        self: &Arc<Self>,
        after: After,
        filter: &FeedFilter,
        limit: i64,
        wait: Duration,
    ) -> Result<FeedPage> {
        let until = Instant::now() + wait;
        let mut conn = self.db.acquire().await?;
        let start = read::start(&mut conn, after).await?;
        let page = read::page(&mut conn, start, filter, limit).await?;
        drop(conn);
        if wait.is_zero() || !page.data.is_empty() { Ok(page) } else { self.wait(page, filter, limit, until).await }
    }

    /// How many readers wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).readers
    }

    async fn wait(
        self: &Arc<Self>,
        mut page: FeedPage,
        filter: &FeedFilter,
        limit: i64,
        until: Instant,
    ) -> Result<FeedPage> {
        let mut reader = self.enter()?;
        while page.data.is_empty() {
            if page.caught_up && !reader.news(page.position, until).await {
                return Ok(page);
            }
            let _turn = self.reading.acquire().await.map_err(Error::internal)?;
            page = read::page(&mut *self.db.acquire().await?, page.position, filter, limit).await?;
            if Instant::now() >= until {
                break;
            }
        }
        Ok(page)
    }

    fn enter(self: &Arc<Self>) -> Result<Reader> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.readers >= MAX_WAITING {
            return Err(Error::Overloaded);
        }
        waiting.readers += 1;
        if !waiting.is_watched {
            waiting.is_watched = true;
            tokio::spawn(watch(self.clone()));
        }
        Ok(Reader { readers: self.clone(), head: self.head.subscribe() })
    }

    /// Nobody waits: the task may end. The next reader starts another.
    fn may_end(&self) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.readers == 0 {
            waiting.is_watched = false;
        }
        !waiting.is_watched
    }
}

/// Looks at the head of the feed while somebody waits.
async fn watch(readers: Arc<FeedReaders>) {
    while !readers.may_end() {
        match tokio::time::timeout(LONGEST_LOOK, look(&readers.db)).await {
            Ok(Ok(head)) => _ = readers.head.send_replace(head),
            Ok(Err(error)) => tracing::debug!(%error, "the head of the feed cannot be read: {error}"),
            Err(late) => tracing::debug!("the head of the feed cannot be read: {late}"),
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = readers.stopping.cancelled() => return,
        }
    }
}

async fn look(db: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar!("select position from feed_head").fetch_one(db).await?)
}

/// A request that waits.
struct Reader {
    readers: Arc<FeedReaders>,
    head: watch::Receiver<i64>,
}

impl Reader {
    /// Is the feed longer than this? False once the time is over or the process stops.
    async fn news(&mut self, position: i64, until: Instant) -> bool {
        tokio::select! {
            found = self.head.wait_for(|head| *head > position) => found.is_ok(),
            () = tokio::time::sleep_until(until) => false,
            () = self.readers.stopping.cancelled() => false,
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.readers.waiting.lock().unwrap_or_else(PoisonError::into_inner).readers -= 1;
    }
}
