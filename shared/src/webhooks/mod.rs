//! Webhooks: sends events to endpoints that staff register, signed by Standard Webhooks, at least once, and in order for
//! each subject. Alone writes `webhook_endpoints`, `webhook_bodies`, `webhook_deliveries`, `webhook_attempts`,
//! `webhook_pumps`, `webhook_head` and `webhook_replays`.
//!
//! The files in the order of a delivery's life: `endpoints` registers where events go, `fill` writes a delivery for each
//! new event of the feed that an endpoint wants, `pump` finds what is due, `outcome` records
//! how it went, `sweep` repairs what has no job, `deliveries` shows the log
//! and sends one again, `replay` sends many again, `prune` deletes old rows. The worker makes the requests
//! (`worker/src/jobs/deliver_webhooks.rs`).

pub mod deliveries;
pub mod endpoints;
pub mod fill;
pub mod jobs;
pub mod outcome;
pub mod prune;
pub mod pump;
pub mod receiver_url;
pub mod replay;
pub mod secret;
pub mod settings;
pub mod sweep;
pub mod times;
pub mod wake;
pub mod wanted;
