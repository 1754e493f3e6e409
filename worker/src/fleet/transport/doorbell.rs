//! Listens to the doorbell, and connects again after Redis was away.

use std::time::{Duration, Instant};

use shared::queue::Queue;
use shared::queue::doorbell::{Doorbell, Listener};

use crate::fleet::transport::received::Received;

/// How soon we try to connect again.
const RECONNECT: Duration = Duration::from_secs(1);

pub struct DoorbellSubscription {
    doorbell: Doorbell,
    listener: Option<Listener>,
    /// The time of the last failure, until a connection works again.
    failed_at: Option<Instant>,
}

impl DoorbellSubscription {
    pub fn new(doorbell: Doorbell) -> Self {
        Self { doorbell, listener: None, failed_at: None }
    }

    pub fn works(&self) -> bool {
        self.listener.is_some()
    }

    pub async fn receive(&mut self, queues: &[Queue], count: usize, patience: Duration) -> Received {
        self.connect().await;
        let Some(listener) = &mut self.listener else { return Received::Unavailable };
        match listener.take(queues, count, patience).await {
            Ok(Some((queue, ids))) => Received::Ids(queue, ids),
            Ok(None) => Received::Nothing,
            Err(error) => {
                tracing::warn!(%error, "the doorbell is out of order, asking Postgres instead: {error}");
                self.listener = None;
                self.failed_at = Some(Instant::now());
                Received::Unavailable
            }
        }
    }

    /// Connects, unless there is a connection, or no Redis, or the last failure is too recent.
    async fn connect(&mut self) {
        let too_soon = self.failed_at.is_some_and(|at| at.elapsed() < RECONNECT);
        if self.listener.is_some() || too_soon || !self.doorbell.is_configured() {
            return;
        }
        match self.doorbell.listener().await {
            Ok(listener) => {
                if self.failed_at.take().is_some() {
                    tracing::info!("the doorbell works again");
                }
                self.listener = listener;
            }
            Err(error) => {
                tracing::debug!(%error, "the doorbell is still out of order: {error}");
                self.failed_at = Some(Instant::now());
            }
        }
    }
}
