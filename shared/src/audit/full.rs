//! Full audits that people start: one at a time over all processes, each on a connection of its own, so that requests keep
//! theirs. Writes `audit_starts`.
//!
//! A run holds an advisory lock. Postgres releases it when the process ends, however it ends. So a run whose process has
//! died is not "running" any more, and the next one can start.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::Mutex;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Finding, Report};
use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::page::{List, Page, Position};
use crate::platform::db;
use crate::platform::db::leadership::{Candidate, Leadership};
use crate::principal::Principal;

/// The advisory lock that a start holds until its row can be read. Any number.
const STARTING: i64 = 0x6175_6469_0000_0001;
/// Held by a run until it ends.
const RUNNING: i64 = 0x6175_6469_0000_0002;
/// How long Postgres waits for the process of a run that is frozen.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditState {
    Running,
    Done,
}

/// A run, by the clock or started by a person.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f70-1b00-7e52-8c11-3d9a6f2b4c01", "state": "done", "ran_at": "2026-11-21T08:15:00Z", "violations": 0,
    "invariants": [{"name": "stock_is_never_negative", "violations": 0, "offenders": []}]
}))]
pub struct AuditRun {
    pub id: Uuid,
    pub state: AuditState,
    /// When it ended; null while it runs
    pub ran_at: Option<DateTime<Utc>>,
    /// Of all invariants; null while it runs
    #[schema(example = 0)]
    pub violations: Option<i64>,
    /// Empty while it runs
    pub invariants: Vec<Finding>,
}

/// A run that has been started, or that was running already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({ "id": "019a4f70-1b00-7e52-8c11-3d9a6f2b4c01", "state": "running" }))]
pub struct StartedAudit {
    pub id: Uuid,
    pub state: AuditState,
}

/// A run that begins once its start is committed. It holds the lock already; dropping it gives the lock back.
pub struct FullRun {
    id: Uuid,
    db: PgPool,
    leadership: Leadership,
}

impl FullRun {
    /// Runs in the background, until it is done or the process is asked to stop.
    pub fn spawn(self, stopping: impl Future<Output = ()> + Send + 'static) {
        let Self { id, db, leadership } = self;
        let run = async move {
            let mut conn = db::connect_beside(&db).await?;
            super::run_to_certainty(&mut conn, id).await
        };
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = leadership.during(run) => Some(ended),
                () = stopping => None,
            };
            match ended {
                Some(Ok(report)) => {
                    tracing::info!(audit_run = %id, violations = report.violations, "a full audit has ended");
                }
                Some(Err(error)) => tracing::error!(audit_run = %id, %error, "a full audit failed: {error}"),
                None => tracing::warn!(audit_run = %id, "a full audit was stopped with its process"),
            }
        });
    }
}

/// Starts a full run, unless one is running: then that one is returned and there is nothing to spawn.
pub async fn start(conn: &mut PgConnection, db: &PgPool, staff: &Principal) -> Result<(StartedAudit, Option<FullRun>)> {
    // A second request waits until the row of the first one can be read.
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended(current_schema()::text, $1))", STARTING)
        .execute(&mut *conn)
        .await?;
    if let Some(id) = running(conn).await? {
        return Ok((StartedAudit { id, state: AuditState::Running }, None));
    }
    // None: a run that has stored its result a moment ago is giving its lock back.
    let leadership = Candidate::new(db, RUNNING, PATIENCE).lead().await?.ok_or(Error::Overloaded)?;
    let id = Uuid::now_v7();
    sqlx::query!("insert into audit_starts (id) values ($1)", id).execute(&mut *conn).await?;
    actions::record(conn, staff, Action::new("audit.started", "audit_run", id)).await?;
    Ok((StartedAudit { id, state: AuditState::Running }, Some(FullRun { id, db: db.clone(), leadership })))
}

/// The last run. Where nothing has run yet, it runs now as by the clock, which looks at a bounded number of orders; on a
/// connection of its own, one at a time, so that requests that wait for it hold nothing.
pub async fn last(db: &PgPool) -> Result<Report> {
    static FIRST: Mutex<()> = Mutex::const_new(());
    if let Some(report) = super::last(&mut *db.acquire().await?).await? {
        return Ok(report);
    }
    let _one_at_a_time = FIRST.lock().await;
    let mut conn = db::connect_beside(db).await?;
    let report = match super::last(&mut conn).await? {
        Some(report) => report,
        None => super::run(&mut conn).await?,
    };
    conn.close().await.ok();
    Ok(report)
}

/// The run that is running now: the last one that was started, if it has no result yet and its lock is held.
async fn running(conn: &mut PgConnection) -> Result<Option<Uuid>> {
    Ok(sqlx::query_scalar!(
        r#"with lock as materialized (
               select 1 from pg_locks
                where locktype = 'advisory' and granted and objsubid = 1
                  and (classid::bigint << 32 | objid::bigint) = hashtextextended(current_schema()::text, $1)
                  and database = (select oid from pg_database where datname = current_database()))
           select id from (select id from audit_starts order by id desc limit 1) last
            where not exists (select from audit_runs r where r.id = last.id) and exists (select from lock)"#,
        RUNNING,
    )
    .fetch_optional(conn)
    .await?)
}

/// Runs, newest first.
pub async fn list(conn: &mut PgConnection, page: &Page) -> Result<List<AuditRun>> {
    let running = running(conn).await?.filter(|id| page.after_id().is_none_or(|after| *id < after));
    let rows = sqlx::query!(
        r#"select id, ran_at, violations, invariants as "invariants: Json<Vec<Finding>>"
             from audit_runs where $1::uuid is null or id < $1 order by id desc limit $2"#,
        page.after_id(),
        page.fetch(),
    )
    .fetch_all(conn)
    .await?;
    let mut runs: Vec<AuditRun> =
        rows.into_iter().map(|row| done(row.id, row.ran_at, row.violations, row.invariants.0)).collect();
    if let Some(id) = running.filter(|id| runs.iter().all(|run| run.id != *id)) {
        let place = runs.iter().take_while(|run| run.id > id).count();
        runs.insert(place, unfinished(id));
        runs.truncate(usize::try_from(page.fetch()).unwrap_or(usize::MAX));
    }
    Ok(page.list(runs, |run| Position::from(run.id)))
}

/// What the runs of a day found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditDay {
    pub day: NaiveDate,
    pub runs: i64,
    /// Of the worst run
    pub violations: i64,
}

/// The last 30 days that had a run, in UTC, the oldest first.
pub async fn days(conn: &mut PgConnection) -> Result<Vec<AuditDay>> {
    let days = sqlx::query_as!(
        AuditDay,
        r#"select (ran_at at time zone 'utc')::date as "day!", count(*) as "runs!", max(violations)::bigint as "violations!"
             from audit_runs where ran_at > now() - interval '30 days' group by 1 order by 1"#,
    );
    Ok(days.fetch_all(conn).await?)
}

/// One run. A full run that failed, or whose process ended, left nothing behind: it is not found.
pub async fn get(conn: &mut PgConnection, id: Uuid) -> Result<AuditRun> {
    // Asked first: a run that ends between the two questions is found by the second.
    let running = running(conn).await?;
    let row = sqlx::query!(
        r#"select ran_at, violations, invariants as "invariants: Json<Vec<Finding>>" from audit_runs where id = $1"#,
        id,
    )
    .fetch_optional(conn)
    .await?;
    match row {
        Some(row) => Ok(done(id, row.ran_at, row.violations, row.invariants.0)),
        None if running == Some(id) => Ok(unfinished(id)),
        None => Err(Error::NotFound(Resource::AuditRun)),
    }
}

fn done(id: Uuid, ran_at: DateTime<Utc>, violations: i32, invariants: Vec<Finding>) -> AuditRun {
    AuditRun { id, state: AuditState::Done, ran_at: Some(ran_at), violations: Some(violations.into()), invariants }
}

fn unfinished(id: Uuid) -> AuditRun {
    AuditRun { id, state: AuditState::Running, ran_at: None, violations: None, invariants: Vec::new() }
}
