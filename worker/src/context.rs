//! What every handler gets beside its job.

use std::sync::Arc;
use std::time::Duration;

use shared::jobs::doorbell::Doorbell;
use shared::jobs::retry::Schedule;
use shared::jobs::{Held, Plan};
use shared::payments::Provider;
use shared::shipping::Carrier;
use sqlx::PgPool;

use crate::recorder::Recorder;

/// Handles to the outside. Cloning it clones handles.
#[derive(Clone)]
pub struct Context {
    pub db: PgPool,
    pub doorbell: Doorbell,
    pub provider: Arc<dyn Provider>,
    pub carrier: Arc<dyn Carrier>,
    pub recorder: Recorder,
    pub terms: Terms,
}

/// The settings that handlers ask for.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    pub max_attempts: i32,
    pub retry: Schedule,
    pub delivery_delay: Duration,
}

impl Context {
    /// Starts the recorder too, so it is called once a process.
    pub fn new(
        db: PgPool,
        doorbell: Doorbell,
        provider: Arc<dyn Provider>,
        carrier: Arc<dyn Carrier>,
        terms: Terms,
    ) -> Self {
        let recorder = Recorder::start(db.clone(), doorbell.clone());
        Self { db, doorbell, provider, carrier, recorder, terms }
    }

    /// For a job that follows at once from this one.
    pub fn next(&self, job: &Held) -> Plan {
        job.plan(Duration::ZERO, self.terms.max_attempts)
    }
}
