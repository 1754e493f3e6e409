//! What staff see and do across several domains: queues, jobs, workers, the overview. It imports the queue and the orders; they do not
//! import it. Of the tables, it writes `bulk_actions`, `saved_views` and `taken_orders`.

pub mod bulk;
pub mod errors;
pub mod inbox;
pub mod jobs;
pub mod queues;
pub mod search;
pub mod summary;
pub mod taken;
pub mod versions;
pub mod views;
pub mod workers;
