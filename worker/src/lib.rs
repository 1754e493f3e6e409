//! Jobs in, effects out.

pub mod context;
pub mod error;
pub mod recorder;
pub mod shipping;
