//! Values that many requests ask for at the same time: read at most once a second, by one of them. So a hundred viewers
//! cost the database what one does. Writes no table.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

/// How old a value may be: a person does not notice, and pages ask every two seconds.
const KEPT: Duration = Duration::from_secs(1);
/// Different questions that are remembered at a time.
const MAX_KEYS: u64 = 1_000;

/// Answers by their question. An error is not remembered.
pub struct Briefly<K, V>(Cache<K, Arc<V>>);

impl<K: Hash + Eq + Send + Sync + 'static, V: Send + Sync + 'static> Default for Briefly<K, V> {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MAX_KEYS).time_to_live(KEPT).build())
    }
}

impl<K: Hash + Eq + Send + Sync + 'static, V: Send + Sync + 'static> Briefly<K, V> {
    /// The value of the last second, else that of `read`. Callers that come meanwhile wait for the same read.
    pub async fn get<E>(&self, key: K, read: impl Future<Output = Result<V, E>>) -> Result<Arc<V>, E>
    where
        E: Clone + Send + Sync + 'static,
    {
        let read = async { read.await.map(Arc::new) };
        self.0.try_get_with(key, read).await.map_err(|error| E::clone(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_viewers_read_once_and_an_error_is_not_kept() {
        let (values, reads) = (Briefly::<u8, u32>::default(), AtomicU32::new(0));
        let read = |result: Result<u32, String>| async {
            reads.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            result
        };
        assert_eq!(values.get(1, read(Err("away".to_owned()))).await.unwrap_err(), "away");
        let viewers = futures::future::join_all((0..100).map(|_| values.get(1, read(Ok(7))))).await;
        assert!(viewers.into_iter().all(|value| *value.unwrap() == 7));
        assert_eq!(reads.load(Ordering::Relaxed), 2);
    }
}
