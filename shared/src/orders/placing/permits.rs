//! Permits for orders that are being placed: a number for the process, and of these a share for each caller.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::platform::locked::Locked;

/// How many orders a process places at once.
#[derive(Debug, Clone, Copy)]
pub struct PlacingLimits {
    pub of_all: u32,
    /// So that one caller cannot take the permits of all. 0: no limit.
    pub of_one_caller: u32,
}

pub(super) struct PlacingPermits {
    free: Arc<Semaphore>,
    of_one_caller: u32,
    taken: Arc<Locked<HashMap<Uuid, u32>>>,
}

/// A permit for one order. It is free again once this is dropped.
pub(super) struct PlacingPermit {
    _permit: OwnedSemaphorePermit,
    _share: Option<Share>,
}

struct Share {
    caller: Uuid,
    taken: Arc<Locked<HashMap<Uuid, u32>>>,
}

impl PlacingPermits {
    pub(super) fn new(limits: PlacingLimits) -> Self {
        let free = Arc::new(Semaphore::new(limits.of_all as usize));
        Self { free, of_one_caller: limits.of_one_caller, taken: Arc::default() }
    }

    /// Takes a permit for an order of this caller. None: a caller without a share, who may take all permits.
    pub(super) fn take(&self, caller: Option<Uuid>) -> Result<PlacingPermit> {
        let share = match caller.filter(|_| self.of_one_caller > 0) {
            Some(caller) => Some(self.share(caller).ok_or(Error::Overloaded)?),
            None => None,
        };
        let permit = self.free.clone().try_acquire_owned().map_err(|_| Error::Overloaded)?;
        Ok(PlacingPermit { _permit: permit, _share: share })
    }

    fn share(&self, caller: Uuid) -> Option<Share> {
        let mut taken = self.taken.lock();
        let count = taken.entry(caller).or_default();
        if *count >= self.of_one_caller {
            return None;
        }
        *count += 1;
        Some(Share { caller, taken: self.taken.clone() })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.taken.lock().entry(self.caller) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_a_share_and_leaves_nothing_behind() {
        let keeper = PlacingPermits::new(PlacingLimits { of_all: 4, of_one_caller: 2 });
        let (alice, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut permits = vec![keeper.take(Some(alice)).unwrap(), keeper.take(Some(alice)).unwrap()];
        assert!(matches!(keeper.take(Some(alice)), Err(Error::Overloaded)));
        permits.extend([keeper.take(Some(bob)).unwrap(), keeper.take(None).unwrap()]);
        assert!(matches!(keeper.take(Some(bob)), Err(Error::Overloaded)), "all permits are taken");
        permits.clear();
        assert!(keeper.taken.lock().is_empty());
        assert!(keeper.take(Some(alice)).is_ok());
    }
}
