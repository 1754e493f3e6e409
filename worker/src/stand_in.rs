//! Until the simulated provider and carrier are merged.
use futures::future::BoxFuture;
use shared::payments::{Outcome, Provider, ProviderError};
use shared::shipping::{Carrier, CarrierError};
use shared::values::Money;
use uuid::Uuid;

pub struct Nobody;

impl Provider for Nobody {
    fn charge<'a>(&'a self, _: Uuid, _: Money, _: &'a str) -> BoxFuture<'a, Result<Outcome, ProviderError>> {
        Box::pin(async { Err(ProviderError::Unavailable("nobody".into())) })
    }
    fn find(&self, _: Uuid) -> BoxFuture<'_, Result<Option<Outcome>, ProviderError>> {
        Box::pin(async { Err(ProviderError::Unavailable("nobody".into())) })
    }
    fn void(&self, _: Uuid) -> BoxFuture<'_, Result<Outcome, ProviderError>> {
        Box::pin(async { Err(ProviderError::Unavailable("nobody".into())) })
    }
}

impl Carrier for Nobody {
    fn book(&self, _: Uuid) -> BoxFuture<'_, Result<String, CarrierError>> {
        Box::pin(async { Err(CarrierError("nobody".into())) })
    }
}
