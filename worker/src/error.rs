//! How an attempt ended, and whether a failed one is tried again. Only this file decides that.

use shared::error::{Error, Kind};
use shared::queue::settle::AttemptFailure;

/// How an attempt ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// The handler finished the job in the transaction of its effect.
    Recorded,
    /// There was nothing to do. The settler finishes the job together with others.
    NothingToDo,
    /// The job may not run yet. It is claimed again after a short pause, and the attempt does not count.
    Postponed,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The cause may go away: the job is tried again.
    #[error("{0}")]
    Transient(String),
    /// Another attempt would fail in the same way: the job is dead.
    #[error("{0}")]
    Permanent(String),
    /// Another attempt has the job. Nothing of this one may be committed, and there is nothing to write down.
    #[error("another attempt holds this job now")]
    LeaseLost,
}

pub type JobResult = Result<Done, JobError>;

impl JobError {
    /// The payload does not fit the kind and version. Another attempt cannot decode it either.
    pub fn undecodable(error: &serde_json::Error) -> Self {
        Self::Permanent(format!("the job's arguments cannot be decoded: {error}"))
    }

    /// What the queue writes down. None: the job belongs to another attempt now.
    pub fn failure(&self) -> Option<AttemptFailure> {
        let permanent = match self {
            Self::Transient(_) => false,
            Self::Permanent(_) => true,
            Self::LeaseLost => return None,
        };
        Some(AttemptFailure { permanent, error: self.to_string() })
    }
}

impl<E: Into<Error>> From<E> for JobError {
    fn from(error: E) -> Self {
        match error.into() {
            Error::LeaseLost => Self::LeaseLost,
            Error::Unavailable(cause) => Self::Transient(format!("the database did not answer: {cause}")),
            // An unexpected error may go away. If it does not, the job is dead in the end and a person sees it.
            Error::Internal(cause) => Self::Transient(format!("unexpected: {cause}")),
            error => match error.kind() {
                Kind::Unavailable | Kind::RateLimited | Kind::Unknown => Self::Transient(error.to_string()),
                _ => Self::Permanent(error.to_string()),
            },
        }
    }
}
