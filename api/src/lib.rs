//! The HTTP API: JSON in, JSON out. Each module declares its handlers with their policies; `surface` wraps them all. The
//! pages of the crate `web` are served beside it (`pages`).

pub mod commands;
pub mod config;
pub mod error;
pub mod extract;
pub mod graphql;
pub mod policy;
pub mod router;
pub mod routes;
pub mod serve;
pub mod state;
pub mod surface;

mod api_keys;
mod auth;
mod bulk;
mod catalog;
mod customers;
mod docs;
mod events;
mod health;
mod inventory;
mod me;
mod metrics;
mod open_files;
mod operations;
mod ops;
mod orders;
mod pages;
mod service_accounts;
mod users;
mod warehouses;
mod webhooks;
