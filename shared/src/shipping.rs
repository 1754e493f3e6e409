//! Getting orders to their buyers: shipments, and the carrier's interface. Alone writes `shipments`.

use futures::future::BoxFuture;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the carrier is not available: {0}")]
pub struct CarrierError(pub String);

/// A carrier. A second one will come; that is why this is a trait.
pub trait Carrier: Send + Sync {
    /// Books a pick-up, once for each key however often it is asked, and answers the tracking number.
    fn book(&self, key: Uuid) -> BoxFuture<'_, Result<String, CarrierError>>;
}
