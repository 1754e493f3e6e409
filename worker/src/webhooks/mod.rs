//! Sends webhooks: the client that refuses inner addresses, and the request with its signature.

pub mod client;
pub mod fill;
pub mod send;
