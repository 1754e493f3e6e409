//! The API through its front door: HTTP in, HTTP out, on real servers.

mod actions;
mod by_hand;
mod cache;
mod catalog;
mod clockwork;
mod customers;
mod deploy;
mod documents;
mod hostile;
mod identity;
mod inventory;
mod limits;
mod ops;
mod orders;
mod payments;
mod privilege;
mod process;
mod prometheus;
mod readme;
mod routes;
mod seed;
mod shipping;
mod surface;
mod tls;
mod traces;
mod warehouses;
