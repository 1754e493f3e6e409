//! Reads of webhooks and of their log.

use super::cases::{Case, User, one};

/// Deliveries are paged by their position in the feed, so they have no deep page by id.
pub fn cases() -> Vec<Case> {
    [
        "/v1/webhooks",
        "/v1/webhooks/{webhook}",
        "/v1/webhooks/{webhook}/deliveries",
        "/v1/webhooks/{webhook}/deliveries?state=delivered",
        "/v1/webhooks/{webhook}/deliveries?state=pending",
        "/v1/webhooks/{webhook}/deliveries?state=failed",
        "/v1/webhooks/{webhook}/deliveries?state=held",
        "/v1/webhooks/{webhook}/deliveries?type=order.delivered",
        "/v1/webhooks/{webhook}/deliveries?type=stock.low",
        "/v1/webhooks/{webhook}/deliveries?type=order.paid&state=failed",
        "/v1/webhooks/{webhook}/deliveries?subject={delivered}",
        "/v1/webhooks/{webhook}/deliveries?subject={user}",
        "/v1/webhooks/{webhook}/deliveries/{event}",
    ]
    .map(|path| one(User::Staff, path))
    .into()
}
