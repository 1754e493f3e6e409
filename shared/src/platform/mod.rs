//! What every program needs and no domain owns: Postgres, Redis, logs and traces, metrics, settings, rate limits, shutdown.
//! It imports nothing of the rest of this crate.

pub mod addresses;
pub mod briefly;
pub mod db;
pub mod http;
pub mod insecure;
pub mod limits;
pub mod locked;
pub mod metrics;
pub mod networks;
pub mod redis;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
