//! Charging for orders: our ledger of effects, and the provider's interface. Alone writes `charges`.

use futures::future::BoxFuture;
use uuid::Uuid;

use crate::values::Money;

/// What a provider has to say about a key, once and for all: the first final answer stays the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Charged,
    Declined {
        reason: String,
    },
    /// Voided before it was charged: nothing was taken, and nothing will be under this key.
    Closed,
    Refunded,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It surely did nothing.
    #[error("the payment provider is not available: {0}")]
    Unavailable(String),
    /// It may have acted or not: to be asked before it is asked to act again.
    #[error("the payment provider did not answer in time; whether it acted is not known")]
    Unknown,
}

/// A payment provider. A second one will come; that is why this is a trait.
pub trait Provider: Send + Sync {
    /// Takes the money, once for each key however often it is asked.
    fn charge<'a>(&'a self, key: Uuid, amount: Money, token: &'a str) -> BoxFuture<'a, Result<Outcome, ProviderError>>;

    /// What became of a key; none if it never heard of it.
    fn find(&self, key: Uuid) -> BoxFuture<'_, Result<Option<Outcome>, ProviderError>>;

    /// Gives the money back, or closes the key so that a late charge is refused.
    fn void(&self, key: Uuid) -> BoxFuture<'_, Result<Outcome, ProviderError>>;
}
