//! The domain of Millrace: orders, stock, identities, jobs. All code that writes their tables is here. This crate knows
//! nothing of HTTP, and nothing of how workers run jobs; the API and the worker are built on it.
//!
//! Modules import only modules of lower layers; a test holds that (`tests/tidy/arrows.rs`). From the bottom:
//!
//! | layer | modules |
//! | --- | --- |
//! | what every program needs | `platform`, `migrations` |
//! | the words of the domain | `invalid`, then `values` and `scope`, then `error`, then `page`, `batch` |
//! | who acts, and the parts of history | `principal`, `months` |
//! | jobs, and records of what happened | `queue`, `actions`, `idempotency`, `feed` |
//! | tables that depend on few others | `customers`, `warehouses`, `schedule`, `health`, `history` |
//! | who signs in, and what orders consist of | `identity`, `catalog`, `inventory`, `payments`, `shipping` |
//! | orders | `orders` |
//! | what happened, sent out | `webhooks` |
//! | above several domains | `audit` and `product_cache`, then `ops` |
//! | whole programs | `metrics`, `retention`, `archive`, `seed` |

pub mod actions;
pub mod archive;
pub mod audit;
pub mod batch;
pub mod catalog;
pub mod customers;
pub mod error;
pub mod feed;
pub mod health;
pub mod history;
pub mod idempotency;
pub mod identity;
pub mod invalid;
pub mod inventory;
pub mod metrics;
pub mod migrations;
pub mod months;
pub mod ops;
pub mod orders;
pub mod page;
pub mod payments;
pub mod platform;
pub mod principal;
pub mod product_cache;
pub mod queue;
pub mod retention;
pub mod schedule;
pub mod scope;
pub mod seed;
pub mod shipping;
pub mod values;
pub mod warehouses;
pub mod webhooks;
