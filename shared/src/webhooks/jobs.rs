//! The jobs of webhooks. The worker carries them out (`worker/src/jobs/`). Writes no table.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::queue::{Job, Origin, Plan, Queue};
use crate::values::WebhookId;

/// Each endpoint has so many jobs at most. All events of one subject are in the same one.
pub const SHARDS: i16 = 4;

/// Sends what is due of one shard of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverWebhooks {
    pub endpoint_id: WebhookId,
    pub shard: i16,
    /// A job whose turn is over does nothing.
    pub turn: i64,
}

impl Job for DeliverWebhooks {
    const KIND: &'static str = "deliver_webhooks";
    const QUEUE: Queue = Queue::Low;

    fn unique_key(&self) -> Option<String> {
        Some(format!("{} {} {} {}", Self::KIND, self.endpoint_id, self.shard, self.turn))
    }
}

/// Takes the next step of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayWebhooks {
    pub replay_id: Uuid,
}

impl Job for ReplayWebhooks {
    const KIND: &'static str = "replay_webhooks";
    const QUEUE: Queue = Queue::Low;
}

/// A delivery has attempts of its own. Its job only fails with the database or the worker, and must never be given up.
const ATTEMPTS: i32 = 1_000_000;

pub(super) fn plan(delay: std::time::Duration) -> Plan {
    Plan { delay, max_attempts: ATTEMPTS, origin: Origin::default() }
}

/// The shard of a subject. The last byte of an id is random.
pub(super) fn shard_of(subject: Uuid) -> i16 {
    i16::from(subject.as_bytes()[15]) % SHARDS
}
