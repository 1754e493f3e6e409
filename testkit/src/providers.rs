//! Payment providers for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use shared::payments::simulated::SimulatedProvider;
use shared::payments::{Outcome, PaymentProvider, ProviderError};
use shared::values::Money;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::app::TestApp;

pub fn simulated(app: &TestApp) -> SimulatedProvider {
    SimulatedProvider::new(app.state.db.clone(), Duration::ZERO)
}

/// A provider that stops before a charge or before its answer, until the test lets it continue.
pub struct Gated {
    inner: SimulatedProvider,
    stops: Stops,
    pub asked: Semaphore,
    pub go_on: Semaphore,
    pub charges: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stops {
    BeforeCharging,
    BeforeAnswering,
    Never,
}

impl Gated {
    pub fn new(app: &TestApp, stops: Stops) -> Arc<Self> {
        let (asked, go_on, charges) = (Semaphore::new(0), Semaphore::new(0), AtomicUsize::new(0));
        Arc::new(Self { inner: simulated(app), stops, asked, go_on, charges })
    }

    async fn stop(&self, here: Stops) {
        if self.stops == here {
            self.asked.add_permits(1);
            self.go_on.acquire().await.unwrap().forget();
        }
    }

    /// Waits until a charge has stopped.
    pub async fn until_asked(&self) {
        self.asked.acquire().await.unwrap().forget();
    }

    pub fn let_go(&self) {
        self.go_on.add_permits(1);
    }
}

impl PaymentProvider for Gated {
    fn charge<'a>(&'a self, key: Uuid, amount: Money, token: &'a str) -> BoxFuture<'a, Result<Outcome, ProviderError>> {
        async move {
            self.stop(Stops::BeforeCharging).await;
            self.charges.fetch_add(1, Ordering::SeqCst);
            let outcome = self.inner.charge(key, amount, token).await;
            self.stop(Stops::BeforeAnswering).await;
            outcome
        }
        .boxed()
    }

    fn find(&self, key: Uuid) -> BoxFuture<'_, Result<Option<Outcome>, ProviderError>> {
        self.inner.find(key)
    }

    fn void(&self, key: Uuid) -> BoxFuture<'_, Result<Outcome, ProviderError>> {
        self.inner.void(key)
    }
}
