//! The queue as apalis sees it: a stream of jobs that are already claimed. It never fails and never polls;
//! `taker` fills it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::worker::context::WorkerContext;
use shared::queue::LeasedJob;
use shared::values::JobId;
use tokio::sync::mpsc;
use tower::layer::util::Identity;

use crate::fleet::fetch::Slot;

/// A job in this process: what it is, and the place that it takes until it is dropped.
#[derive(Debug, Clone)]
pub struct Ticket {
    pub job: LeasedJob,
    pub slot: Arc<Slot>,
}

/// The receiving end. A worker that apalis restarts goes on with the same one.
#[derive(Debug, Clone)]
pub struct ClaimedJobs {
    tickets: Arc<Mutex<mpsc::Receiver<Ticket>>>,
}

impl ClaimedJobs {
    pub fn new(tickets: mpsc::Receiver<Ticket>) -> Self {
        Self { tickets: Arc::new(Mutex::new(tickets)) }
    }

    /// What nobody has begun when the worker has stopped. Their places are free from now.
    pub fn unbegun(&self) -> Vec<(JobId, i32)> {
        let mut tickets = self.tickets.lock().expect("nothing panics while it polls");
        std::iter::from_fn(|| tickets.try_recv().ok()).map(|ticket| (ticket.job.id, ticket.job.attempt)).collect()
    }
}

impl Backend for ClaimedJobs {
    type Task = Task<Ticket>;
    type Error = Infallible;

    fn poll_ready(&mut self, _cx: &mut Context<'_>, _worker: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _worker: &WorkerContext,
    ) -> Poll<Option<Result<Task<Ticket>, Infallible>>> {
        let mut tickets = self.tickets.lock().expect("nothing panics while it polls");
        tickets.poll_recv(cx).map(|next| next.map(|ticket| Ok(TaskBuilder::new(ticket).build())))
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>, _worker: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for ClaimedJobs {
    type Args = Ticket;
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
