//! Joins what many resolvers ask for into one statement (the pattern is called `DataLoader`).
//!
//! The crate's own `DataLoader` waits for a millisecond and then loads what was asked for. How many statements that makes
//! depends on how busy the machine is. Here a batch begins when every resolver of the request waits for something, so it has
//! the keys of the whole level.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use futures::task::{ArcWake, AtomicWaker, waker_ref};
use shared::error::{Error, Result};
use shared::principal::Principal;
use sqlx::{PgConnection, PgPool};

/// A longer list of keys makes Postgres plan for too long, and one statement would hold its connection for too long.
const MOST_KEYS: usize = 500;

/// Loads the values of many keys in one go. The loader itself says which page, so different pages are different batches.
pub(super) trait Load: Clone + Eq + Hash + Send + Sync + 'static {
    type Key: Copy + Eq + Hash + Send + Sync + 'static;
    type Value: Send + Sync + 'static;

    fn load(
        &self,
        conn: &mut PgConnection,
        caller: &Principal,
        keys: &[Self::Key],
    ) -> impl Future<Output = Result<HashMap<Self::Key, Self::Value>>> + Send;
}

type Answer<L> = Result<Option<Arc<<L as Load>::Value>>>;
type Waiting<L> = HashMap<<L as Load>::Key, Vec<oneshot::Sender<Answer<L>>>>;

/// What was asked for since the last batch began.
pub(super) struct Batch<L: Load>(Mutex<HashMap<L, Waiting<L>>>);

impl<L: Load> Default for Batch<L> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<L: Load> Batch<L> {
    /// The value of a key, or none if there is none.
    pub(super) async fn get(&self, load: L, key: L::Key) -> Answer<L> {
        let answer = self.ask(load, key);
        answer.await.unwrap_or_else(|_| Err(Error::internal("a batch was dropped before it was loaded")))
    }

    fn ask(&self, load: L, key: L::Key) -> oneshot::Receiver<Answer<L>> {
        let (sender, receiver) = oneshot::channel();
        let mut asked = self.0.lock().expect("no code panics while it holds this lock");
        asked.entry(load).or_default().entry(key).or_default().push(sender);
        receiver
    }

    /// What to run to answer everybody who has asked.
    pub(super) fn start(&self, db: &PgPool, caller: &Arc<Principal>) -> Vec<BoxFuture<'static, ()>> {
        let asked = std::mem::take(&mut *self.0.lock().expect("no code panics while it holds this lock"));
        let mut started: Vec<BoxFuture<'static, ()>> = Vec::new();
        for (load, waiting) in asked {
            let mut waiting = waiting.into_iter().peekable();
            while waiting.peek().is_some() {
                let part = waiting.by_ref().take(MOST_KEYS).collect();
                started.push(Box::pin(answer(load.clone(), part, db.clone(), caller.clone())));
            }
        }
        started
    }
}

async fn answer<L: Load>(load: L, waiting: Waiting<L>, db: PgPool, caller: Arc<Principal>) {
    let keys: Vec<L::Key> = waiting.keys().copied().collect();
    let loaded = async { load.load(&mut *db.acquire().await?, &caller, &keys).await }.await;
    let loaded: Result<HashMap<_, _>> =
        loaded.map(|values| values.into_iter().map(|(key, value)| (key, Arc::new(value))).collect());
    for (key, senders) in waiting {
        let value = loaded.as_ref().map(|values| values.get(&key).cloned()).map_err(Error::clone);
        for sender in senders {
            // A resolver that is gone does not wait any more.
            let _ = sender.send(value.clone());
        }
    }
}

/// Runs the resolvers. `start` gives what to run for those that wait; it is called when none of them can go on without it.
pub(super) async fn drive<T>(resolvers: impl Future<Output = T>, start: impl Fn() -> Vec<BoxFuture<'static, ()>>) -> T {
    let mut resolvers = pin!(resolvers);
    let mut running = FuturesUnordered::new();
    let progress = Arc::new(Progress::default());
    poll_fn(|cx| {
        progress.task.register(cx.waker());
        progress.woken.store(false, Ordering::Release);
        if let Poll::Ready(done) = resolvers.as_mut().poll(&mut Context::from_waker(&waker_ref(&progress))) {
            return Poll::Ready(done);
        }
        // A resolver that has woken its task meanwhile will be polled again before anything is started.
        if !progress.woken.load(Ordering::Acquire) {
            running.extend(start());
        }
        while let Poll::Ready(Some(())) = running.poll_next_unpin(cx) {}
        Poll::Pending
    })
    .await
}

/// Notes that a resolver can go on, and wakes the task.
#[derive(Default)]
struct Progress {
    woken: AtomicBool,
    task: AtomicWaker,
}

impl ArcWake for Progress {
    fn wake_by_ref(progress: &Arc<Self>) {
        progress.woken.store(true, Ordering::Release);
        progress.task.wake();
    }
}
