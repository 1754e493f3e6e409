//! The domain of Millrace: what orders, stock, identities and jobs are, and the only code that writes them.
//! It knows nothing of HTTP and nothing of how workers are run; both binaries are built on it.

pub mod audit;
pub mod catalog;
pub mod customers;
pub mod error;
pub mod health;
pub mod idempotency;
pub mod identity;
pub mod invalid;
pub mod inventory;
pub mod metrics;
pub mod ops;
pub mod orders;
pub mod page;
pub mod payments;
pub mod platform;
pub mod product_cache;
pub mod queue;
pub mod retention;
pub mod schedule;
pub mod seed;
pub mod shipping;
pub mod values;
pub mod warehouses;

/// The schema, compiled into the programs that apply it.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");
