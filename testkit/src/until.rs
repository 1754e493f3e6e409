//! Waits for a condition, with a limit. No test sleeps for a fixed time.

use std::time::{Duration, Instant};

/// Longer than any step takes, even while a compiler runs.
const TIMEOUT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until a condition holds.
pub async fn until<F: AsyncFnMut() -> bool>(what: &str, mut condition: F) {
    until_some(what, async || condition().await.then_some(())).await;
}

/// Waits until there is a value, and returns it.
pub async fn until_some<T, F: AsyncFnMut() -> Option<T>>(what: &str, mut look: F) -> T {
    let deadline = Instant::now() + TIMEOUT;
    let mut pulse = tokio::time::interval(PAUSE);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "timed out after {TIMEOUT:?}: {what}");
        pulse.tick().await;
    }
}
