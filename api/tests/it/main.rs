//! The API through its front door: HTTP in, HTTP out, on real servers.

mod cache;
mod catalog;
mod clockwork;
mod customers;
mod deploy;
mod documents;
mod hands;
mod identity;
mod inventory;
mod limits;
mod ops;
mod orders;
mod orders_move;
mod payments;
mod privilege;
mod process;
mod prometheus;
mod readme;
mod redis_server;
mod seed;
mod shipping;
mod support;
mod surface;
mod tls;
mod traces;
mod warehouses;
