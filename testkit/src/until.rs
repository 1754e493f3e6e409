//! Waiting for a condition: nothing in a test sleeps for a fixed time.

use std::time::{Duration, Instant};

/// Longer than anything here takes, also beside a compiler.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until a condition holds.
pub async fn until<F: AsyncFnMut() -> bool>(what: &str, mut condition: F) {
    until_some(what, async || condition().await.then_some(())).await;
}

/// Waits until there is a value, and answers it.
pub async fn until_some<T, F: AsyncFnMut() -> Option<T>>(what: &str, mut look: F) -> T {
    let deadline = Instant::now() + PATIENCE;
    let mut pulse = tokio::time::interval(PAUSE);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        pulse.tick().await;
    }
}
