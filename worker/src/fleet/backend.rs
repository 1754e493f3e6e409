//! The backend that apalis sees: a stream of jobs that the fetcher has claimed already. It never fails and never polls.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::worker::context::WorkerContext;
use shared::platform::locked::Locked;
use shared::values::JobId;
use tokio::sync::mpsc;
use tower::layer::util::Identity;

use crate::fleet::slots::ClaimedJob;

/// The receiving end. When apalis restarts its worker, the new one goes on with the same channel.
#[derive(Debug, Clone)]
pub struct ClaimedJobs {
    waiting: Arc<Locked<mpsc::Receiver<ClaimedJob>>>,
}

impl ClaimedJobs {
    pub fn new(waiting: mpsc::Receiver<ClaimedJob>) -> Self {
        Self { waiting: Arc::new(Locked::new(waiting)) }
    }

    /// The jobs that were claimed and not started when the worker stopped. Their slots are free after this.
    pub fn unbegun(&self) -> Vec<(JobId, i32)> {
        let mut waiting = self.waiting.lock();
        std::iter::from_fn(|| waiting.try_recv().ok()).map(|claimed| (claimed.job.id, claimed.job.attempt)).collect()
    }
}

impl Backend for ClaimedJobs {
    type Task = Task<ClaimedJob>;
    type Error = Infallible;

    fn poll_ready(&mut self, _cx: &mut Context<'_>, _worker: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _worker: &WorkerContext,
    ) -> Poll<Option<Result<Task<ClaimedJob>, Infallible>>> {
        self.waiting.lock().poll_recv(cx).map(|next| next.map(|claimed| Ok(TaskBuilder::new(claimed).build())))
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>, _worker: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for ClaimedJobs {
    type Args = ClaimedJob;
    type Id = uuid::Uuid;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _worker: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}
