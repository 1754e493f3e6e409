//! How a worker learns of ready jobs when it does not use the doorbell.

pub mod apalis_redis;
