//! Hashes and verifies passwords, which is slow on purpose: not on the async threads, and only a few at a time. Writes
//! no table.

use std::sync::{Arc, LazyLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::identity::metrics::IdentityMetrics;
use crate::values::password::NewPassword;

/// The longest password that can be chosen: 128 characters of 4 bytes. Hashing a longer one would be wasted work.
const MAX_BYTES: usize = 128 * 4;

/// Hashes that may wait for each core. A hash takes 20 to 90 ms, so the last one is still done in time.
const WAITING_PER_CORE: usize = 100;

/// The hash that is used when there is no such account, so that the answer takes as long.
const NOBODYS_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdA$2M3c8HqvP5FvB1xDPRLmpYbGdXNEmXzX4u3SuQgkCqA";

/// Who wants a password to be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// Anybody: who signs in or registers.
    Stranger,
    /// A user with a session that is good. A part of the queue is kept for them.
    SignedIn,
}

/// One for the process, because it shares out the cores of the process.
static QUEUE: LazyLock<Queue> = LazyLock::new(|| {
    let cores = cores_for(std::thread::available_parallelism().map_or(1, usize::from));
    Queue::new(cores, cores * WAITING_PER_CORE)
});

/// All cores but one: the last one answers the requests that need no password.
fn cores_for(cores: usize) -> usize {
    cores.saturating_sub(1).max(1)
}

/// The hash to store.
pub async fn hash(password: NewPassword, asker: Asker) -> Result<String> {
    let work = move || argon2().hash_password(password.expose().as_bytes()).map(|hash| hash.to_string());
    QUEUE.run(asker, work).await?.map_err(Error::internal)
}

/// Is this the password? Without a hash the answer is no, but it takes as long.
pub async fn verify(
    password: SecretString,
    hash: Option<String>,
    asker: Asker,
    metrics: &IdentityMetrics,
) -> Result<bool> {
    if password.expose_secret().len() > MAX_BYTES {
        return Ok(false);
    }
    let known = hash.is_some();
    let hash = hash.unwrap_or_else(|| NOBODYS_HASH.to_owned());
    let checks = metrics.password_checks.clone();
    let verified = QUEUE.run(asker, move || {
        checks.inc();
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
    /// Three quarters of the places, so that a flood of logins cannot take those of users with a session.
    places_of_strangers: Arc<Semaphore>,
    cores: Arc<Semaphore>,
}

impl Queue {
    fn new(cores: usize, waiting: usize) -> Self {
        let places = cores + waiting;
        let places_of_strangers = (places * 3 / 4).max(1);
        Self {
            places: Arc::new(Semaphore::new(places)),
            places_of_strangers: Arc::new(Semaphore::new(places_of_strangers)),
            cores: Arc::new(Semaphore::new(cores)),
        }
    }

    /// Refuses at once when the queue is full: it is useless to check a password after its client has given up.
    async fn run<T: Send + 'static>(&self, asker: Asker, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let place_of_stranger = match asker {
            Asker::Stranger => {
                Some(self.places_of_strangers.clone().try_acquire_owned().map_err(|_| Error::Overloaded)?)
            }
            Asker::SignedIn => None,
        };
        let place = self.places.clone().try_acquire_owned().map_err(|_| Error::Overloaded)?;
        let core = self.cores.clone().acquire_owned().await.map_err(Error::internal)?;
        // The work holds the permits, because it continues when its request is dropped.
        let done = tokio::task::spawn_blocking(move || {
            let _held = (place_of_stranger, place, core);
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
    async fn a_password_verifies_against_its_own_hash_only_and_each_check_costs_one_hash() {
        let metrics = IdentityMetrics::new().unwrap();
        let hash = hash("correct horse".to_owned().try_into().unwrap(), Asker::SignedIn).await.unwrap();
        let verify = async |password: &str, hash: Option<String>| {
            verify(password.into(), hash, Asker::Stranger, &metrics).await.unwrap()
        };
        assert!(verify("correct horse", Some(hash.clone())).await);
        assert!(!verify("Correct horse", Some(hash.clone())).await);
        assert!(!verify("correct horse", None).await);
        assert_eq!(metrics.password_checks(), 3);
        assert!(!verify(&"x".repeat(100_000), Some(hash)).await);
        assert!(!verify(&"x".repeat(100_000), None).await);
        assert_eq!(metrics.password_checks(), 3, "neither hashes what nobody can have chosen");
    }

    #[test]
    fn the_last_core_hashes_nothing() {
        for (cores, hashing) in [(1, 1), (2, 1), (3, 2), (64, 63)] {
            assert_eq!(cores_for(cores), hashing);
        }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_keeps_a_part_for_users_with_a_session() {
        let queue = Arc::new(Queue::new(1, 3));
        let (release, released) = mpsc::channel::<()>();
        let (started, running) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let queue = queue.clone();
            async move {
                let work = move || {
                    started.send(()).unwrap();
                    released.recv().unwrap();
                };
                queue.run(Asker::Stranger, work).await
            }
        });
        running.await.unwrap();
        let mut waiting = [2, 3].map(|result| Box::pin(queue.run(Asker::Stranger, move || result)));
        for one in &mut waiting {
            assert!(futures::poll!(one).is_pending());
        }
        assert_eq!(queue.run(Asker::Stranger, || ()).await.unwrap_err().code(), "overloaded");
        let signed_in = queue.run(Asker::SignedIn, || 4);
        tokio::pin!(signed_in);
        assert!(futures::poll!(signed_in.as_mut()).is_pending());
        assert_eq!(queue.run(Asker::SignedIn, || ()).await.unwrap_err().code(), "overloaded");
        release.send(()).unwrap();
        first.await.unwrap().unwrap();
        for (done, expected) in waiting.into_iter().zip([2, 3]) {
            assert_eq!(done.await.unwrap(), expected);
        }
        assert_eq!(signed_in.await.unwrap(), 4);
        queue.run(Asker::Stranger, || ()).await.unwrap();
    }
}
