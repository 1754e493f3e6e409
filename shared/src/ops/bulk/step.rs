//! The steps of an action on many.

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{BulkAction, BulkFilter, BulkState};
use crate::error::{Error, Result};
use crate::orders::cancel::{self, Cancel};
use crate::orders::event::Event;
use crate::orders::jobs::ProcessPayment;
use crate::orders::{note, pay, read};
use crate::principal::{By, Principal};
use crate::queue::dead::{self, Span};
use crate::queue::{Job, JobState, Origin, Plan, Ring};
use crate::values::{JobId, OrderId};

/// Things that one step takes: a transaction of some hundred milliseconds.
const STEP: i64 = 500;
/// Cancelling an order takes several statements.
const STEP_OF_ORDERS: i64 = 100;
/// While the oldest due job has waited longer than this, no step is taken.
const BEHIND: f64 = 5.0;

/// What a step did.
#[derive(Debug)]
pub enum Stepped {
    /// Take the next one after a short pause.
    Again(Vec<Ring>),
    Ended(Vec<Ring>),
}

struct Running {
    id: Uuid,
    action: BulkAction,
    filter: BulkFilter,
    upto: Uuid,
    position: Option<Uuid>,
    canary: Option<JobId>,
    reason: Option<String>,
    staff: Principal,
    plan: Plan,
}

/// Takes the next step, in the transaction of the caller. Steps of one action take turns.
pub async fn step(conn: &mut PgConnection, id: Uuid, max_attempts: i32) -> Result<Stepped> {
    let row = sqlx::query!(
        r#"select action as "action: BulkAction", filter as "filter: Json<BulkFilter>", upto, state as "state: BulkState", position,
                  canary as "canary: JobId", reason, actor_id, actor_name, request_id
             from bulk_actions where id = $1 for no key update"#,
        id,
    );
    let Some(row) = row.fetch_optional(&mut *conn).await? else { return Ok(Stepped::Ended(Vec::new())) };
    let origin = Origin { request_id: row.request_id.clone(), trace_parent: None };
    let running = Running {
        id,
        action: row.action,
        filter: row.filter.0,
        upto: row.upto,
        position: row.position,
        canary: row.canary,
        reason: row.reason,
        staff: Principal::on_behalf_of(By { id: row.actor_id, name: row.actor_name }, row.request_id),
        plan: Plan { delay: std::time::Duration::ZERO, max_attempts, origin },
    };
    match row.state {
        BulkState::Canary => running.try_canary(conn).await,
        BulkState::Running if is_behind(conn).await? => Ok(Stepped::Again(Vec::new())),
        BulkState::Running => running.take_some(conn).await,
        BulkState::Halted | BulkState::Stopped | BulkState::Done => Ok(Stepped::Ended(Vec::new())),
    }
}

/// Is there work that has waited too long?
async fn is_behind(conn: &mut PgConnection) -> Result<bool> {
    let oldest = sqlx::query_scalar!(
        r#"select coalesce(bool_or(oldest < now() - make_interval(secs => $1)), false) as "behind!"
             from queues q
            cross join lateral (select min(run_at) as oldest from jobs where queue = q.name and state = 'ready') due
            where not q.paused"#,
        BEHIND,
    );
    Ok(oldest.fetch_one(conn).await?)
}

impl Running {
    /// The first call takes the canary. Later calls look what became of it.
    async fn try_canary(self, conn: &mut PgConnection) -> Result<Stepped> {
        let Some(canary) = self.canary else {
            let taken = dead::retry_for_bulk(conn, self.filter.jobs(), self.span(), self.id, 1, 1).await?;
            self.note_retried(conn, &taken).await?;
            let canary = taken.first().map(|job| job.ring.id.0);
            sqlx::query!("update bulk_actions set canary = $2 where id = $1", self.id, canary)
                .execute(&mut *conn)
                .await?;
            return self.advance(conn, &taken_ids(&taken), taken.into_iter().map(|job| job.ring).collect()).await;
        };
        let job = sqlx::query!(r#"select state as "state: JobState", error from jobs where id = $1"#, canary.0);
        match job.fetch_optional(&mut *conn).await? {
            Some(job) if matches!(job.state, JobState::Ready | JobState::Running) => Ok(Stepped::Again(Vec::new())),
            Some(job) if matches!(job.state, JobState::Dead | JobState::Discarded) => {
                sqlx::query!(
                    "update bulk_actions set state = 'halted', error = $2, updated_at = statement_timestamp() where id = $1",
                    self.id,
                    job.error,
                )
                .execute(conn)
                .await?;
                Ok(Stepped::Ended(Vec::new()))
            }
            // Done, or done and removed already.
            _ => {
                sqlx::query!("update bulk_actions set state = 'running', untried = false where id = $1", self.id)
                    .execute(conn)
                    .await?;
                Ok(Stepped::Again(Vec::new()))
            }
        }
    }

    async fn take_some(self, conn: &mut PgConnection) -> Result<Stepped> {
        match self.action {
            BulkAction::Retry => self.retry_some(conn).await,
            BulkAction::Discard => self.discard_some(conn).await,
            BulkAction::CancelOrders => self.cancel_some(conn).await,
        }
    }

    async fn retry_some(self, conn: &mut PgConnection) -> Result<Stepped> {
        let attempts = self.plan.max_attempts;
        let taken = dead::retry_for_bulk(conn, self.filter.jobs(), self.span(), self.id, STEP, attempts).await?;
        self.note_retried(conn, &taken).await?;
        self.advance(conn, &taken_ids(&taken), taken.into_iter().map(|job| job.ring).collect()).await
    }

    async fn note_retried(&self, conn: &mut PgConnection, taken: &[dead::Revived]) -> Result<()> {
        let event = |job: &dead::Revived| Event::JobRetried { job_id: job.ring.id, kind: job.kind.clone() };
        let notes: Vec<_> = taken.iter().filter_map(|job| Some((OrderId(job.subject?), event(job)))).collect();
        note::note(conn, &self.staff, &notes).await
    }

    async fn discard_some(self, conn: &mut PgConnection) -> Result<Stepped> {
        let taken = dead::discard_for_bulk(conn, self.filter.jobs(), self.span(), self.id, STEP).await?;
        let mut notes = Vec::new();
        for (id, job) in &taken {
            let Some(order_id) = job.subject.map(OrderId) else { continue };
            notes.push((order_id, Event::JobDiscarded { job_id: *id, kind: job.kind.clone() }));
            if job.kind == ProcessPayment::KIND {
                pay::erase_token(conn, order_id).await?;
            }
        }
        note::note(conn, &self.staff, &notes).await?;
        let ids: Vec<Uuid> = taken.iter().map(|(id, _)| id.0).collect();
        self.advance(conn, &ids, Vec::new()).await
    }

    /// Orders in the order of their ids. One that cannot be cancelled any more is counted and left as it is.
    async fn cancel_some(self, conn: &mut PgConnection) -> Result<Stepped> {
        let ids =
            read::ids_to_cancel(conn, &self.filter.orders(), self.position, Some(self.upto), STEP_OF_ORDERS).await?;
        let asked = Cancel { reason: self.reason.as_deref().and_then(|reason| reason.parse().ok()) };
        let (mut rings, mut refused) = (Vec::new(), 0_i64);
        for id in &ids {
            match cancel::cancel(conn, &self.staff, *id, &asked, &self.plan).await {
                Ok((_, ring)) => rings.extend(ring),
                Err(Error::OrderNotCancellable) => refused += 1,
                Err(other) => return Err(other),
            }
        }
        sqlx::query!("update bulk_actions set refused = refused + $2 where id = $1", self.id, refused)
            .execute(&mut *conn)
            .await?;
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        self.advance(conn, &ids, rings).await
    }

    fn span(&self) -> Span {
        Span { after: self.position, upto: self.upto }
    }

    /// Keeps how far the action has come. It ends when nothing is left behind its position.
    async fn advance(self, conn: &mut PgConnection, taken: &[Uuid], rings: Vec<Ring>) -> Result<Stepped> {
        let Some(position) = taken.iter().max() else {
            let of_jobs = self.action != BulkAction::CancelOrders;
            // All jobs of this step were changed by others while it waited for them.
            let others = of_jobs && dead::any_in(conn, self.filter.jobs(), self.span()).await?;
            return if others { Ok(Stepped::Again(rings)) } else { self.end(conn, rings).await };
        };
        sqlx::query!(
            "update bulk_actions set done = done + $2, position = $3, updated_at = statement_timestamp() where id = $1",
            self.id,
            i64::try_from(taken.len()).unwrap_or(i64::MAX),
            position,
        )
        .execute(conn)
        .await?;
        Ok(Stepped::Again(rings))
    }

    async fn end(self, conn: &mut PgConnection, rings: Vec<Ring>) -> Result<Stepped> {
        sqlx::query!(
            "update bulk_actions set state = 'done', updated_at = statement_timestamp() where id = $1",
            self.id
        )
        .execute(conn)
        .await?;
        Ok(Stepped::Ended(rings))
    }
}

fn taken_ids(taken: &[dead::Revived]) -> Vec<Uuid> {
    taken.iter().map(|job| job.ring.id.0).collect()
}
