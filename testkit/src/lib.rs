//! What Millrace's tests are written with. Nothing of it is shipped.

pub mod app;
pub mod manual_worker;
pub mod network;
pub mod proxy;
pub mod worker_process;
