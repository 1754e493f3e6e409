//! Starts Postgres, Redis and our own binaries as child processes, which can be frozen, killed and restarted. Used by
//! tests, bench, prove and `./dev`.

pub mod home;
pub mod patroni;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod receiver;
pub mod redis;
pub mod redis_group;
pub mod shutdown;
mod wait;
