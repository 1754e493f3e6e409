//! Starts the servers that Millrace needs, and its own binaries, as child processes: to be measured, frozen, killed and
//! started again. Tests, measurements and `./dev` all start them here.

pub mod home;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod redis_group;
pub mod shutdown;
mod wait;
