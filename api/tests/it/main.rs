//! The API through its front door: HTTP in, HTTP out, on real servers.

mod catalog;
mod customers;
mod documents;
mod identity;
mod inventory;
mod ops;
mod orders;
mod seed;
mod support;
mod surface;
mod warehouses;
