//! Load, faults and measurements for Millrace. Not shipped.

pub mod proxy;
pub mod servers;
