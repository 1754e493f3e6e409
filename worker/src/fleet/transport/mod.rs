//! How a worker learns which jobs are ready: from the doorbell, or from apalis-redis.

pub mod apalis_redis;
pub mod doorbell;
pub mod received;

use std::time::Duration;

use shared::queue::Queue;
use tokio_util::sync::CancellationToken;

use crate::fleet::transport::apalis_redis::RedisStorageSubscription;
use crate::fleet::transport::doorbell::DoorbellSubscription;
use crate::fleet::transport::received::Received;

/// The source of this worker's job ids.
pub enum Subscription {
    Doorbell(DoorbellSubscription),
    RedisStorage(RedisStorageSubscription),
}

impl Subscription {
    /// Does the transport work, as far as we know?
    pub fn works(&self) -> bool {
        match self {
            Self::Doorbell(doorbell) => doorbell.works(),
            Self::RedisStorage(storage) => storage.works(),
        }
    }

    /// Takes up to `count` ids from the first of these queues that has any. Waits for the first id, at most `patience`.
    ///
    /// When the worker stops, ids that were just taken may be lost. That is harmless: the jobs stay ready in Postgres,
    /// and their ids are sent again.
    pub async fn receive(
        &mut self,
        queues: &[Queue],
        count: usize,
        patience: Duration,
        stopping: &CancellationToken,
    ) -> Received {
        let received = async {
            match self {
                Self::Doorbell(doorbell) => doorbell.receive(queues, count, patience).await,
                Self::RedisStorage(storage) => storage.receive(queues, count, patience).await,
            }
        };
        tokio::select! { received = received => received, () = stopping.cancelled() => Received::Nothing }
    }
}
