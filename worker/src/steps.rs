//! The steps of an order's life, each taken for many orders at once (`shared::batch`). A handler tells the story of one
//! order: it asks for a step, calls the outside, and asks for the next step.
//!
//! A step begins and commits a transaction, and rings for the jobs that follow. One that records a result also finishes the
//! job, so the effect and the end of the attempt are one commit.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use shared::batch::{Batcher, Together};
use shared::error::Result;
use shared::orders::cancel::{self, Undo, Undone};
use shared::orders::deliver::{self, Arrived};
use shared::orders::pay::{self, Answered};
use shared::orders::ship::{self, Booked};
use shared::queue::claim::Claimer;
use shared::queue::doorbell::Doorbell;
use shared::queue::settle::{Recorded, Room};
use shared::queue::{LeasedJob, Queue};
use shared::shipping::Shipment;
use shared::values::OrderId;
use sqlx::{PgConnection, PgPool};

use crate::error::{Done, JobError, JobResult};
use crate::fleet::fetch::hand_back;
use crate::fleet::slots::{Slot, Slots};

/// Cloning it clones handles.
#[derive(Clone)]
pub struct Steps {
    start_payment: Batcher<Start<pay::Start>>,
    record_payment: Batcher<Record<Answered>>,
    start_shipping: Batcher<Start<Vec<Shipment>>>,
    record_shipping: Batcher<Record<Booked>>,
    record_delivery: Batcher<Record<Arrived>>,
    start_cancelling: Batcher<Start<Undo>>,
    record_cancelling: Batcher<Record<Undone>>,
    /// Of the job that takes the steps.
    slot: Option<Arc<Slot>>,
}

impl Steps {
    /// Starts a task for each step. They end when the steps and their clones are dropped. `own` are the slots of a worker
    /// that begins jobs itself which follow from others.
    pub fn start(db: &PgPool, doorbell: &Doorbell, own: Option<OwnSlots>) -> Self {
        Self {
            start_payment: starting(db),
            record_payment: recording(db, doorbell, own),
            start_shipping: starting(db),
            record_shipping: recording(db, doorbell, None),
            record_delivery: recording(db, doorbell, None),
            start_cancelling: starting(db),
            record_cancelling: recording(db, doorbell, None),
            slot: None,
        }
    }

    /// The same steps, for the job in this slot.
    #[must_use]
    pub fn of(self, slot: Arc<Slot>) -> Self {
        Self { slot: Some(slot), ..self }
    }

    async fn record<R: Recordable>(&self, step: &Batcher<Record<R>>, result: R) -> JobResult {
        if let Some(slot) = &self.slot {
            slot.step_aside_to_record();
        }
        if step.ask(result).await? { Ok(Done::Recorded) } else { Err(JobError::LeaseLost) }
    }

    pub async fn start_payment(&self, order_id: OrderId) -> Result<pay::Start> {
        self.start_payment.ask(order_id).await
    }

    pub async fn record_payment(&self, answered: Answered) -> JobResult {
        self.record(&self.record_payment, answered).await
    }

    /// Empty: the order is not paid.
    pub async fn start_shipping(&self, order_id: OrderId) -> Result<Vec<Shipment>> {
        self.start_shipping.ask(order_id).await
    }

    pub async fn record_shipping(&self, booked: Booked) -> JobResult {
        self.record(&self.record_shipping, booked).await
    }

    pub async fn record_delivery(&self, arrived: Arrived) -> JobResult {
        self.record(&self.record_delivery, arrived).await
    }

    pub async fn start_cancelling(&self, order_id: OrderId) -> Result<Undo> {
        self.start_cancelling.ask(order_id).await
    }

    pub async fn record_cancelling(&self, undone: Undone) -> JobResult {
        self.record(&self.record_cancelling, undone).await
    }
}

fn starting<A: Startable>(db: &PgPool) -> Batcher<Start<A>> {
    Batcher::start(Start { db: db.clone(), answer: PhantomData })
}

fn recording<R: Recordable>(db: &PgPool, doorbell: &Doorbell, own: Option<OwnSlots>) -> Batcher<Record<R>> {
    Batcher::start(Record { db: db.clone(), doorbell: doorbell.clone(), own, result: PhantomData })
}

/// The slots of this worker, and in whose name they are taken.
#[derive(Clone)]
pub struct OwnSlots {
    pub slots: Arc<Slots>,
    pub claimer: Claimer,
}

impl OwnSlots {
    /// Room for jobs that follow. There is some only while the worker has nothing else to do: if others wait in the queue,
    /// it has claimed those.
    fn room(&self) -> Room<'_> {
        Room { claimer: &self.claimer, jobs: self.slots.free(Queue::Default) }
    }
}

/// What to do about orders: read and written down before anything outside is asked.
struct Start<A> {
    db: PgPool,
    answer: PhantomData<fn() -> A>,
}

trait Startable: Sized + Send + 'static {
    fn start(
        conn: &mut PgConnection,
        orders: &[OrderId],
    ) -> impl Future<Output = Result<HashMap<OrderId, Self>>> + Send;

    /// For an order that the domain has nothing to say about.
    fn nothing() -> Self;
}

impl Startable for pay::Start {
    async fn start(conn: &mut PgConnection, orders: &[OrderId]) -> Result<HashMap<OrderId, Self>> {
        pay::start(conn, orders).await
    }

    fn nothing() -> Self {
        Self::Nothing
    }
}

impl Startable for Vec<Shipment> {
    async fn start(conn: &mut PgConnection, orders: &[OrderId]) -> Result<HashMap<OrderId, Self>> {
        ship::start(conn, orders).await
    }

    fn nothing() -> Self {
        Self::new()
    }
}

impl Startable for Undo {
    async fn start(conn: &mut PgConnection, orders: &[OrderId]) -> Result<HashMap<OrderId, Self>> {
        cancel::start(conn, orders).await
    }

    fn nothing() -> Self {
        Self::Nothing
    }
}

impl<A: Startable> Together for Start<A> {
    type Entry = OrderId;
    type Answer = A;
    type Key = OrderId;

    fn key(order_id: &OrderId) -> OrderId {
        *order_id
    }

    async fn carry_out(&self, orders: &[OrderId]) -> Result<Vec<A>> {
        let mut tx = self.db.begin().await?;
        let mut started = A::start(&mut tx, orders).await?;
        tx.commit().await?;
        Ok(orders.iter().map(|id| started.remove(id).unwrap_or_else(A::nothing)).collect())
    }
}

/// Results that are recorded together with the ends of their jobs.
struct Record<R> {
    db: PgPool,
    doorbell: Doorbell,
    own: Option<OwnSlots>,
    result: PhantomData<fn() -> R>,
}

trait Recordable: Sized + Send + Sync + 'static {
    fn job(&self) -> &LeasedJob;
    fn order_id(&self) -> OrderId;
    fn record(
        conn: &mut PgConnection,
        batch: &[Self],
        room: Option<Room<'_>>,
    ) -> impl Future<Output = Result<Recorded>> + Send;
}

impl Recordable for Answered {
    fn job(&self) -> &LeasedJob {
        &self.job
    }

    fn order_id(&self) -> OrderId {
        self.charge.order_id
    }

    async fn record(conn: &mut PgConnection, batch: &[Self], room: Option<Room<'_>>) -> Result<Recorded> {
        pay::record(conn, batch, room).await
    }
}

impl Recordable for Booked {
    fn job(&self) -> &LeasedJob {
        &self.job
    }

    fn order_id(&self) -> OrderId {
        self.order_id
    }

    async fn record(conn: &mut PgConnection, batch: &[Self], _room: Option<Room<'_>>) -> Result<Recorded> {
        ship::record(conn, batch).await
    }
}

impl Recordable for Arrived {
    fn job(&self) -> &LeasedJob {
        &self.job
    }

    fn order_id(&self) -> OrderId {
        self.order_id
    }

    async fn record(conn: &mut PgConnection, batch: &[Self], _room: Option<Room<'_>>) -> Result<Recorded> {
        deliver::record(conn, batch).await
    }
}

impl Recordable for Undone {
    fn job(&self) -> &LeasedJob {
        &self.job
    }

    fn order_id(&self) -> OrderId {
        self.order_id
    }

    async fn record(conn: &mut PgConnection, batch: &[Self], _room: Option<Room<'_>>) -> Result<Recorded> {
        cancel::record(conn, batch).await
    }
}

impl<R: Recordable> Together for Record<R> {
    type Entry = R;
    /// Was the attempt still the current one? Otherwise nothing was recorded.
    type Answer = bool;
    type Key = OrderId;

    fn key(result: &R) -> OrderId {
        result.order_id()
    }

    async fn carry_out(&self, batch: &[R]) -> Result<Vec<bool>> {
        let mut tx = self.db.begin().await?;
        let recorded = R::record(&mut tx, batch, self.own.as_ref().map(OwnSlots::room)).await?;
        tx.commit().await?;
        self.doorbell.ring(recorded.rings);
        if let Some(own) = &self.own {
            recorded.claimed.iter().for_each(|job| self.doorbell.count_written(&job.kind, job.queue));
            hand_back(&self.db, &self.doorbell, &own.slots.admit(recorded.claimed)).await;
        }
        Ok(batch.iter().map(|result| recorded.finished.contains(&result.job().id)).collect())
    }
}
