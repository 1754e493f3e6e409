//! The feed: every event of orders, products, stock and webhooks in one order, without gaps, each once. Alone writes
//! `feed`, `feed_head` and `entity_events`.
//!
//! - `record`: other modules write events here that belong to no order. Orders write theirs to their timeline.
//! - `sequencer`: one task of the workers gives each event its position, once it is visible.
//! - `read`, `waiting`: pages of the feed, and readers that wait for news.
//! - `data`, `catalogue`: what an event of each type says.
//! - `retention`, `rebuild`: the old end, and a database that was restored from a dump.

pub mod catalogue;
pub mod cursor;
pub mod data;
pub mod read;
pub mod rebuild;
pub mod record;
pub mod retention;
pub mod sequencer;
mod timeline;
pub mod waiting;
