//! What staff see and do across several domains: queues, jobs, workers. It stands above the queue and the orders.

pub mod jobs;
