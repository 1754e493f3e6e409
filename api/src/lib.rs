//! The HTTP API: JSON in, JSON out. Each module declares its handlers with their policies; `surface` wraps them all.

pub mod commands;
pub mod config;
pub mod error;
pub mod extract;
pub mod policy;
pub mod router;
pub mod routes;
pub mod serve;
pub mod state;
pub mod surface;

mod auth;
mod catalog;
mod customers;
mod docs;
mod health;
mod inventory;
mod metrics;
mod open_files;
mod operations;
mod ops;
mod orders;
mod users;
mod warehouses;
