//! The stream that tells open pages that something has changed. It carries no data: a page that hears `changed` asks for
//! itself again.
//!
//! One task per process looks at the database once a second, and only while somebody listens. All listeners share what it
//! sees, so a hundred open consoles cost as much as one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use shared::error::{Error, Result};
use shared::ops::versions::{self, Versions};
use shared::platform::http::answer::OwnTimeLimit;
use shared::values::OrderId;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::console::common::CommonParts;

/// Between two looks at the database.
const PAUSE: Duration = Duration::from_secs(1);
/// A look that takes longer has failed: Postgres does not answer.
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// Streams that this process holds at once: each takes a connection.
const MAX_STREAMS: usize = 1_000;
/// Orders that are looked at one by one, over all streams.
const MAX_FOLLOWED: usize = 1_000;
/// After this time the browser opens a new stream, and its rights are checked again.
const LIFETIME: Duration = Duration::from_mins(1);
/// So that a connection that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What a page wants to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Everything that the console shows.
    Everything,
    /// One order and its jobs.
    Order(OrderId),
}

/// All streams of this process.
pub struct Live {
    db: PgPool,
    stopping: CancellationToken,
    common: Arc<CommonParts>,
    /// What the last look found. None: it failed.
    seen: watch::Sender<Option<Arc<Versions>>>,
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    streams: usize,
    /// How many streams follow an order.
    followed: BTreeMap<OrderId, usize>,
    is_watched: bool,
}

impl Live {
    pub fn new(db: PgPool, common: Arc<CommonParts>, stopping: CancellationToken) -> Arc<Self> {
        let (seen, _) = watch::channel(None);
        Arc::new(Self { db, common, stopping, seen, listeners: Mutex::default() })
    }

    /// Answers with a stream of changes.
    pub fn stream(self: &Arc<Self>, topic: Topic) -> Result<Response> {
        let listener = self.listen(topic)?;
        let ends_at = tokio::time::Instant::now() + LIFETIME;
        let events = stream::unfold(listener, move |mut listener| async move {
            let changed = tokio::time::timeout_at(ends_at, listener.changed()).await.unwrap_or(false);
            let event = Event::default().event("changed").data("1");
            changed.then_some((Ok::<_, Infallible>(event), listener))
        });
        let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
        response.extensions_mut().insert(OwnTimeLimit);
        Ok(response)
    }

    fn listen(self: &Arc<Self>, topic: Topic) -> Result<Listener> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let follows_another = matches!(topic, Topic::Order(id) if !listeners.followed.contains_key(&id));
        if listeners.streams >= MAX_STREAMS || (follows_another && listeners.followed.len() >= MAX_FOLLOWED) {
            return Err(Error::Overloaded);
        }
        listeners.streams += 1;
        if let Topic::Order(id) = topic {
            *listeners.followed.entry(id).or_default() += 1;
        }
        if !listeners.is_watched {
            listeners.is_watched = true;
            tokio::spawn(watch(self.clone()));
        }
        Ok(Listener { live: self.clone(), topic, seen: self.seen.subscribe(), shown: None })
    }

    fn followed(&self) -> Vec<OrderId> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.followed.keys().copied().collect()
    }

    /// Nobody listens: the task may end. Whoever comes next starts another.
    fn may_end(&self) -> bool {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if listeners.streams == 0 {
            listeners.is_watched = false;
        }
        !listeners.is_watched
    }
}

/// Looks at the database while somebody listens.
async fn watch(live: Arc<Live>) {
    while !live.may_end() {
        let found = look(&live.db, &live.followed()).await;
        if let Err(error) = &found {
            tracing::debug!(%error, "the watcher of live pages cannot read: {error}");
        }
        let found = found.ok().map(Arc::new);
        if found != *live.seen.borrow() {
            live.common.renew();
        }
        live.seen.send_replace(found);
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = live.stopping.cancelled() => return,
        }
    }
}

async fn look(db: &PgPool, followed: &[OrderId]) -> Result<Versions> {
    let reading = async { versions::read(&mut *db.acquire().await?, followed).await };
    tokio::time::timeout(LONGEST_LOOK, reading).await.unwrap_or(Err(Error::Overloaded))
}

/// One stream. Dropping it ends its share in the watching.
struct Listener {
    live: Arc<Live>,
    topic: Topic,
    seen: watch::Receiver<Option<Arc<Versions>>>,
    /// What the page shows, as far as the stream knows.
    shown: Option<String>,
}

impl Listener {
    /// Waits until what the page shows has changed. `false`: the process stops, or the database cannot be read. The stream
    /// then ends, and the page says that it is not live.
    async fn changed(&mut self) -> bool {
        loop {
            tokio::select! {
                changed = self.seen.changed() => if changed.is_err() { return false },
                () = self.live.stopping.cancelled() => return false,
            }
            let Some(now) = self.fingerprint() else { return false };
            let before = self.shown.replace(now.clone());
            // The page may have been made before the first look, so it is told once.
            if before.as_ref() != Some(&now) {
                return true;
            }
        }
    }

    fn fingerprint(&self) -> Option<String> {
        let seen = self.seen.borrow().clone()?;
        Some(match self.topic {
            Topic::Everything => format!("{:?}", seen.of_everything()),
            Topic::Order(id) => format!("{:?}", seen.followed.get(&id.0)),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut listeners = self.live.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.streams -= 1;
        if let Topic::Order(id) = self.topic
            && let Some(count) = listeners.followed.get_mut(&id)
        {
            *count -= 1;
            if *count == 0 {
                listeners.followed.remove(&id);
            }
        }
    }
}
