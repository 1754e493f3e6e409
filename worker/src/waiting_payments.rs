//! How many payments of each customer wait for the provider in this worker. One customer's slow payments must not take
//! all places, or nobody else's order would be paid meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use shared::platform::locked::Locked;
use shared::values::CustomerId;

/// A customer may always have so many payments wait here, in a worker that is large enough.
const FEW: usize = 4;

#[derive(Debug)]
pub struct WaitingPayments {
    /// Of each customer that has any.
    waiting: Locked<HashMap<CustomerId, usize>>,
    few: usize,
    half: usize,
}

/// A payment counts as waiting until this is dropped.
#[derive(Debug)]
pub struct ProviderPlace {
    payments: Arc<WaitingPayments>,
    customer: CustomerId,
}

impl WaitingPayments {
    /// `places` is how many payments this worker can run at the same time.
    pub fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { waiting: Locked::default(), few: (places / 4).clamp(1, FEW), half: (places / 2).max(1) })
    }

    /// A place for a payment of this customer. None: the customer has a few already, and half of all places are taken.
    pub fn enter(self: &Arc<Self>, customer: CustomerId) -> Option<ProviderPlace> {
        let mut waiting = self.waiting.lock();
        let all: usize = waiting.values().sum();
        let own = waiting.entry(customer).or_default();
        if *own >= self.few && all >= self.half {
            return None;
        }
        *own += 1;
        Some(ProviderPlace { payments: self.clone(), customer })
    }
}

impl Drop for ProviderPlace {
    fn drop(&mut self) {
        let mut waiting = self.payments.waiting.lock();
        if let Some(own) = waiting.get_mut(&self.customer) {
            *own -= 1;
            if *own == 0 {
                waiting.remove(&self.customer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_customer_gets_half_and_others_always_a_few() {
        for (places, alone, beside) in [(1, 1, 1), (3, 1, 1), (6, 3, 1), (24, 12, 4), (750, 375, 4)] {
            let payments = WaitingPayments::new(places);
            let enter = |customer| std::iter::from_fn(|| payments.enter(customer)).take(1000).collect::<Vec<_>>();
            let (one, other) = (CustomerId::new(), CustomerId::new());
            let mut held = enter(one);
            let held_by_other = enter(other);
            assert_eq!((held.len(), held_by_other.len()), (alone, beside), "{places} places");
            held.pop();
            drop(held_by_other);
            assert_eq!(enter(one).len(), 1, "{places} places, of which one is free again");
        }
    }
}
