//! Real worker processes on real servers: started, killed, frozen, asked to stop.

mod fleet;
mod listener;
mod lives;
mod process;
mod redis;
mod transport;
