//! What a transport says when a worker asks it for ready jobs.

use shared::queue::Queue;
use shared::values::JobId;

pub enum Received {
    Ids(Queue, Vec<JobId>),
    /// No job became ready while the worker waited.
    Nothing,
    /// The transport does not work now: ask Postgres.
    Unavailable,
}
