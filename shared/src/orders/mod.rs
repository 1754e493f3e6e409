//! Orders.

pub mod expire;
