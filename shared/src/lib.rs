//! The domain of Millrace: what orders, stock, identities and jobs are, and the only code that writes them.
//! Knows nothing of HTTP and nothing of queues' consumers; both binaries stand on it.

pub mod audit;
pub mod cache;
pub mod catalog;
pub mod clockwork;
pub mod customers;
pub mod db;
pub mod error;
pub mod health;
pub mod idempotency;
pub mod identity;
pub mod inventory;
pub mod jobs;
pub mod limits;
pub mod metrics;
pub mod orders;
pub mod page;
pub mod payments;
pub mod redis;
pub mod retention;
pub mod seed;
pub mod settings;
pub mod shipping;
pub mod shutdown;
pub mod telemetry;
pub mod values;
pub mod warehouses;

/// The schema, compiled into whoever applies it.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");
