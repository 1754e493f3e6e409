//! Real worker processes on real servers: started, killed, frozen, asked to stop.

mod fleet;
mod lives;
mod process;
mod redis;
#[path = "../../../api/tests/it/support.rs"]
#[expect(dead_code, reason = "it serves the API's tests too, which use more of it")]
mod support;
mod transport;
mod workers;
