//! A mutex for short critical sections without `await`.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ignores poisoning: use it only where each change under the lock is a single step, which a panic cannot interrupt.
#[derive(Debug, Default)]
pub struct Locked<T>(Mutex<T>);

impl<T> Locked<T> {
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
