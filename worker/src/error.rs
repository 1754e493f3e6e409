//! Again, or never? The only place that decides.

use shared::error::{Error, Kind};
use shared::queue::settle::AttemptFailure;

/// How an attempt can end that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// The job was finished in the transaction of its effect.
    Recorded,
    /// There was nothing to do: the job is finished together with others.
    NothingToDo,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The moment was bad; the next attempt may find a better one.
    #[error("{0}")]
    Transient(String),
    /// Trying again would fail again.
    #[error("{0}")]
    Permanent(String),
    /// Another attempt holds the job: nothing of this one may be kept, and there is nothing to report.
    #[error("another attempt holds this job now")]
    LeaseLost,
}

pub type JobResult = Result<Done, JobError>;

impl JobError {
    /// Its arguments are not what its kind and version promise: no attempt will read them better.
    pub fn undecodable(error: &serde_json::Error) -> Self {
        Self::Permanent(format!("the job's arguments cannot be decoded: {error}"))
    }

    /// What is kept of the failure; nothing where the job is not ours any more.
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
            // What we did not foresee may pass, and a person sees it when it does not.
            Error::Internal(cause) => Self::Transient(format!("unforeseen: {cause}")),
            error => match error.kind() {
                Kind::Unavailable | Kind::RateLimited | Kind::Unknown => Self::Transient(error.to_string()),
                _ => Self::Permanent(error.to_string()),
            },
        }
    }
}
