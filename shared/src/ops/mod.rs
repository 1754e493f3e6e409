//! What staff see and do across several domains: queues, jobs, workers, the overview. It imports the queue and the orders; they do not
//! import it. It writes no table itself.

pub mod jobs;
pub mod queues;
pub mod summary;
pub mod versions;
pub mod workers;
