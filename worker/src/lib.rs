//! Jobs in, effects out.

pub mod config;
pub mod context;
pub mod error;
pub mod serve;
