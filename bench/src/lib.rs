//! Load, faults and measurements for Millrace. Not shipped.

pub mod network;
pub mod prove;
pub mod proxy;
pub mod servers;
