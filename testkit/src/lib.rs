//! The test kit: the test app, a manual worker, builders, proxies and servers. Not shipped.

pub mod app;
mod audit;
mod builders;
pub mod database;
mod documented;
mod feed;
pub mod manual_worker;
pub mod network;
pub mod past;
pub mod person;
pub mod providers;
pub mod proxy;
pub mod receiver;
pub mod redis_server;
pub mod until;
pub mod workers;
