//! Hashes and verifies passwords, which is slow on purpose: not on the async threads, and only a few at a time. Writes
//! no table.

use std::sync::{Arc, LazyLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::values::NewPassword;

/// The longest password that can be chosen: 128 characters of 4 bytes. Hashing a longer one would be wasted work.
const MAX_BYTES: usize = 128 * 4;

/// Hashes that may wait for each core. A hash takes 20 to 90 ms, so the last one is still done in time.
const WAITING_PER_CORE: usize = 100;

/// The hash that is used when there is no such account, so that the answer takes as long.
const NOBODYS_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdA$2M3c8HqvP5FvB1xDPRLmpYbGdXNEmXzX4u3SuQgkCqA";

/// One for the process, because it shares out the cores of the process.
static QUEUE: LazyLock<Queue> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Queue::new(cores, cores * WAITING_PER_CORE)
});

/// The hash to store.
pub async fn hash(password: NewPassword) -> Result<String> {
    let hashed = QUEUE.run(move || argon2().hash_password(password.expose().as_bytes()).map(|hash| hash.to_string()));
    hashed.await?.map_err(Error::internal)
}

/// Is this the password? Without a hash the answer is no, but it takes as long.
pub async fn verify(password: SecretString, hash: Option<String>) -> Result<bool> {
    if password.expose_secret().len() > MAX_BYTES {
        return Ok(false);
    }
    let known = hash.is_some();
    let hash = hash.unwrap_or_else(|| NOBODYS_HASH.to_owned());
    let verified = QUEUE.run(move || {
        let hash = PasswordHash::new(&hash)?;
        match argon2().verify_password(password.expose_secret().as_bytes(), &hash) {
            Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
            other => other.map(|()| true),
        }
    });
    let verified: std::result::Result<bool, argon2::password_hash::Error> = verified.await?;
    Ok(verified.map_err(Error::internal)? && known)
}

/// 19 MiB, 2 iterations, 1 lane: the parameters that OWASP recommends.
fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).expect("the parameters are within their bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Runs CPU-bound work: at most `cores` pieces at once, with at most `waiting` more in the queue.
struct Queue {
    places: Arc<Semaphore>,
    cores: Arc<Semaphore>,
}

impl Queue {
    fn new(cores: usize, waiting: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(cores + waiting)), cores: Arc::new(Semaphore::new(cores)) }
    }

    /// Refuses at once when the queue is full: it is useless to check a password after its client has given up.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Error::Overloaded)?;
        let core = self.cores.clone().acquire_owned().await.map_err(Error::internal)?;
        // The work holds the permits, because it continues when its request is dropped.
        let done = tokio::task::spawn_blocking(move || {
            let _held = (place, core);
            work()
        });
        done.await.map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn nobodys_hash_costs_what_a_real_one_costs() {
        let real = argon2().hash_password(b"correct horse").unwrap();
        let nobodys = PasswordHash::new(NOBODYS_HASH).unwrap();
        assert_eq!((nobodys.algorithm, nobodys.version), (real.algorithm, real.version));
        assert_eq!(nobodys.params, real.params);
        assert_eq!(nobodys.hash.unwrap().len(), real.hash.unwrap().len());
        assert!(real.to_string().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_only() {
        let hash = hash("correct horse".to_owned().try_into().unwrap()).await.unwrap();
        assert!(verify("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!verify("Correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!verify("x".repeat(100_000).into(), Some(hash)).await.unwrap());
        assert!(!verify("correct horse".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let queue = Arc::new(Queue::new(1, 1));
        let (release, released) = mpsc::channel::<()>();
        let (started, running) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let queue = queue.clone();
            async move {
                let work = move || {
                    started.send(()).unwrap();
                    released.recv().unwrap();
                };
                queue.run(work).await
            }
        });
        running.await.unwrap();
        let second = queue.run(|| "second");
        tokio::pin!(second);
        assert!(futures::poll!(second.as_mut()).is_pending());
        assert_eq!(queue.run(|| ()).await.unwrap_err().code(), "overloaded");
        release.send(()).unwrap();
        first.await.unwrap().unwrap();
        assert_eq!(second.await.unwrap(), "second");
        queue.run(|| ()).await.unwrap();
    }
}
