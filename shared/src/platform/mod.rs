//! What every program needs and no domain owns: Postgres, Redis, logs and traces, settings, limits, health, shutdown.
//! It imports nothing of the domain or the queue.

pub mod db;
pub mod health;
pub mod http;
pub mod limits;
pub mod redis;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
