//! Jobs in, effects out.

pub mod context;
pub mod error;
pub mod payments;
pub mod recorder;
pub mod shipping;
