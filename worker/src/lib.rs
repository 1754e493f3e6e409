//! Jobs in, effects out.

pub mod context;
pub mod error;
