//! Tests of real worker processes on real servers: started, killed, frozen, stopped.

mod fleet;
mod listener;
mod lives;
mod process;
mod redis;
mod transport;
