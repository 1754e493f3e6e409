//! Operations over HTTP, for staff: queues, jobs, workers, the audit, the record of actions.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::actions::{self, ActionFilter, ActionView};
use shared::audit::Report;
use shared::audit::full::{self, AuditRun, StartedAudit};
use shared::history::read::{History, HistoryRange};
use shared::ops::jobs::{self, JobDetail, JobFilter, JobView, Retried, RetryJobs};
use shared::ops::queues::{self, PauseQueue, QueueView};
use shared::ops::summary::Summary;
use shared::ops::workers::{self, GoneWorker, WorkerView};
use shared::page::{List, Paging};
use shared::principal::Permission;
use shared::queue::Queue;
use shared::schedule::{self, ClockView};
use shared::scope::Scope;
use shared::values::JobId;
use sqlx::PgPool;
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::error::{ApiResult, Problem};
use crate::extract::idempotent::Once;
use crate::extract::json::{Listed, NoBody, NoFilter, Path, Query};
use crate::extract::principal::Caller;
use crate::policy::{Access, Policy};
use crate::router::Routes;
use crate::state::AppState;

pub fn routes() -> Routes {
    let read = Policy::read(Access::Needs(Permission::OpsRead)).scope(Scope::OpsRead);
    let write = Policy::write(Access::Needs(Permission::OpsWrite)).scope(Scope::OpsWrite).takes_key();
    Routes::default()
        .on(routes!(queues), read)
        .on(routes!(pause), write)
        .on(routes!(resume), write)
        .on(routes!(jobs), read)
        .on(routes!(retry_many), write)
        .on(routes!(job), read)
        .on(routes!(retry), write)
        .on(routes!(discard), write)
        .on(routes!(workers), read)
        .on(routes!(audit), read)
        .on(routes!(start_audit), write)
        .on(routes!(audit_runs), read)
        .on(routes!(audit_run), read)
        .on(routes!(actions), read)
        .on(routes!(summary), read)
        .on(routes!(history), read)
        .on(routes!(clock), read)
}

/// List queues
///
/// Each with its counts, in the order in which workers take jobs from them.
#[utoipa::path(get, path = "/v1/ops/queues", tag = "operations", responses(
    (status = 200, description = "All queues", body = List<QueueView>, example = json!({"data": [
        {"name": "high", "ready": 3, "scheduled": 1, "running": 8, "dead": 0, "oldest_ready_seconds": 0, "paused": false, "pause": null},
        {"name": "default", "ready": 0, "scheduled": 0, "running": 2, "dead": 0, "oldest_ready_seconds": 0, "paused": false, "pause": null},
        {"name": "low", "ready": 120, "scheduled": 40, "running": 0, "dead": 1, "oldest_ready_seconds": 31, "paused": true, "pause": {"reason": "the carrier is down", "by": null, "since": "2026-11-21T08:15:00Z", "resume_at": null}},
    ], "next_cursor": null})),
))]
async fn queues(State(db): State<PgPool>) -> ApiResult<Answer<List<QueueView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(List { data: queues::list(&mut conn).await?, next_cursor: None }))
}

/// Pause a queue
///
/// Within two seconds no worker takes jobs from it. Running jobs finish. At `resume_at` it resumes by itself. Asking again
/// changes nothing, except that another reason or time replaces the first.
#[utoipa::path(post, path = "/v1/ops/queues/{name}/pause", tag = "operations",
    params(("name" = Queue, Path, description = "The queue")), request_body = PauseQueue,
    responses(
        (status = 200, description = "The queue, paused", body = QueueView),
        (status = 404, description = "`queue_not_found`", body = Problem),
        (status = 422, description = "`invalid_time`: `resume_at` has passed; `invalid_note`", body = Problem),
    ))]
async fn pause(caller: Caller, Path(name): Path<String>, mut once: Once<PauseQueue>) -> ApiResult<Response> {
    let queue = queues::pause(&mut once.tx, &caller, &name, &once.body).await?;
    once.answer(StatusCode::OK, &queue).await
}

/// Resume a queue
///
/// Within two seconds workers take from it again. Asked again, nothing changes.
#[utoipa::path(post, path = "/v1/ops/queues/{name}/resume", tag = "operations",
    params(("name" = Queue, Path, description = "The queue")),
    responses(
        (status = 200, description = "The queue, not paused", body = QueueView),
        (status = 404, description = "`queue_not_found`", body = Problem),
    ))]
async fn resume(caller: Caller, Path(name): Path<String>, mut once: Once<NoBody>) -> ApiResult<Response> {
    let queue = queues::resume(&mut once.tx, &caller, &name).await?;
    once.answer(StatusCode::OK, &queue).await
}

/// Jobs
///
/// Newest first. What is done is removed after a while; what is dead stays until a person decides.
#[utoipa::path(get, path = "/v1/ops/jobs", tag = "operations", params(JobFilter, Paging), responses(
    (status = 200, description = "A page of jobs", body = List<JobView>),
    (status = 422, description = "`invalid_limit`, `invalid_cursor`, or a filter is not right", body = Problem),
))]
async fn jobs(State(db): State<PgPool>, asked: Listed<JobFilter>) -> ApiResult<Answer<List<JobView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(jobs::list(&mut conn, asked.filter, asked.page).await?))
}

/// Read a job
///
/// With every attempt that failed: when, where, for how long, and why.
#[utoipa::path(get, path = "/v1/ops/jobs/{id}", tag = "operations", params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "The job", body = JobDetail),
        (status = 404, description = "`job_not_found`", body = Problem),
    ))]
async fn job(State(db): State<PgPool>, Path(id): Path<JobId>) -> ApiResult<Answer<JobDetail>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(jobs::get(&mut conn, id).await?))
}

/// Retry a dead job
///
/// It runs at once with a new budget of attempts. The failed attempts stay on record.
#[utoipa::path(post, path = "/v1/ops/jobs/{id}/retry", tag = "operations",
    params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "The job, `ready`", body = JobDetail),
        (status = 404, description = "`job_not_found`", body = Problem),
        (status = 409, description = "`job_not_dead`", body = Problem),
    ))]
async fn retry(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<JobId>,
    mut once: Once<NoBody>,
) -> ApiResult<Response> {
    let (job, ring) = jobs::retry(&mut once.tx, &caller, id, state.settings.jobs.job_max_attempts).await?;
    let answer = once.answer(StatusCode::OK, &job).await?;
    state.doorbell.ring([ring]);
    Ok(answer)
}

/// Discard a dead job
///
/// It never runs again. If it belongs to an order, staff must move the order by hand (`next_action`).
#[utoipa::path(post, path = "/v1/ops/jobs/{id}/discard", tag = "operations",
    params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "The job, `discarded`", body = JobDetail),
        (status = 404, description = "`job_not_found`", body = Problem),
        (status = 409, description = "`job_not_dead`", body = Problem),
    ))]
async fn discard(caller: Caller, Path(id): Path<JobId>, mut once: Once<NoBody>) -> ApiResult<Response> {
    let job = jobs::discard(&mut once.tx, &caller, id).await?;
    once.answer(StatusCode::OK, &job).await
}

/// Retry many dead jobs
///
/// Dead jobs of a kind, a queue or an error: the oldest first, at most `limit`.
#[utoipa::path(post, path = "/v1/ops/jobs/retry", tag = "operations",
    request_body = RetryJobs,
    responses(
        (status = 200, description = "How many are retried", body = Retried),
        (status = 422, description = "`missing_field`: `limit` is required; `invalid_limit`: it is from 1 to 10,000", body = Problem),
    ))]
async fn retry_many(State(state): State<AppState>, caller: Caller, mut once: Once<RetryJobs>) -> ApiResult<Response> {
    let rings = jobs::retry_many(&mut once.tx, &caller, &once.body, state.settings.jobs.job_max_attempts).await?;
    let answer = once.answer(StatusCode::OK, &Retried { retried: rings.len() }).await?;
    state.doorbell.ring(rings);
    Ok(answer)
}

/// List live workers
///
/// Each with the jobs that it runs now. `gone`: the workers that have stopped or fell silent in the last 15 minutes.
#[utoipa::path(get, path = "/v1/ops/workers", tag = "operations", responses(
    (status = 200, description = "All live workers, and those that have gone in the last 15 minutes", body = Workers),
))]
async fn workers(State(db): State<PgPool>) -> ApiResult<Answer<Workers>> {
    let mut conn = db.acquire().await?;
    let (data, gone) = (workers::list(&mut conn).await?, workers::gone(&mut conn).await?);
    Ok(Answer(Workers { data, next_cursor: None, gone }))
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "data": [{
        "id": "0197a2c0-11aa-7e4f-9b0c-5a6b7c8d9e0f", "host": "mill-7", "pid": 4711, "version": "0.1.0",
        "queues": ["high", "default", "low"], "since": "2026-11-21T08:00:00Z", "last_heartbeat": "2026-11-21T08:15:00Z",
        "running": 0, "concurrency": 32, "running_jobs": []
    }],
    "next_cursor": null,
    "gone": [{
        "id": "0197a2c0-11aa-7e4f-9b0c-5a6b7c8d9e10", "host": "mill-6", "pid": 4702, "version": "0.1.0",
        "queues": ["high", "default", "low"], "since": "2026-11-20T08:00:00Z", "gone_at": "2026-11-21T08:09:30Z",
        "stopped": false
    }]
}))]
struct Workers {
    data: Vec<WorkerView>,
    /// Always null: all live workers are in one answer
    next_cursor: Option<String>,
    /// Gone in the last 15 minutes, at most 100, newest first
    gone: Vec<GoneWorker>,
}

/// Read the last integrity audit
///
/// Each invariant with its violations. The audit runs every few minutes; `POST /v1/ops/audit/runs` starts one over
/// everything.
#[utoipa::path(get, path = "/v1/ops/audit", tag = "operations", responses(
    (status = 200, description = "What the audit found", body = Report, example = json!({
        "ran_at": "2026-11-21T08:15:00Z", "violations": 0,
        "invariants": [{"name": "stock_is_never_negative", "violations": 0, "offenders": []}],
    })),
))]
async fn audit(State(db): State<PgPool>, _: Query<NoFilter>) -> ApiResult<Answer<Report>> {
    Ok(Answer(full::last(&db).await?))
}

/// Start an audit of everything
///
/// It runs beside the requests, and a violation is checked a second time. One at a time: asked again meanwhile, the answer
/// is the run that runs. It ends with the process that runs it.
#[utoipa::path(post, path = "/v1/ops/audit/runs", tag = "operations", responses(
    (status = 202, description = "The run; read its result at `/v1/ops/audit/runs/{id}`", body = StartedAudit),
    (status = 503, description = "`overloaded`: the last run is just ending; see `Retry-After`", body = Problem),
))]
async fn start_audit(State(state): State<AppState>, caller: Caller, mut once: Once<NoBody>) -> ApiResult<Response> {
    let (started, run) = full::start(&mut once.tx, &state.db, &caller).await?;
    let answer = once.answer(StatusCode::ACCEPTED, &started).await?;
    if let Some(run) = run {
        run.spawn(state.stopping.clone().cancelled_owned());
    }
    Ok(answer)
}

/// List audits
///
/// By the clock and by hand, newest first. They are kept for 30 days.
#[utoipa::path(get, path = "/v1/ops/audit/runs", tag = "operations", params(Paging), responses(
    (status = 200, description = "A page of runs", body = List<AuditRun>),
    (status = 422, description = "`invalid_limit` or `invalid_cursor`", body = Problem),
))]
async fn audit_runs(State(db): State<PgPool>, asked: Listed<NoFilter>) -> ApiResult<Answer<List<AuditRun>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(full::list(&mut conn, &asked.page).await?))
}

/// Read an audit
///
/// `running`, or `done` with what it found. A run that failed or whose process ended is gone: start another one.
#[utoipa::path(get, path = "/v1/ops/audit/runs/{id}", tag = "operations", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "The run", body = AuditRun),
    (status = 404, description = "`audit_run_not_found`", body = Problem),
))]
async fn audit_run(State(db): State<PgPool>, Path(id): Path<Uuid>) -> ApiResult<Answer<AuditRun>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(full::get(&mut conn, id).await?))
}

/// List what people did by hand
///
/// Every manual change and every sign-in: who, what, to what, why, when, from where. Newest first.
#[utoipa::path(get, path = "/v1/ops/actions", tag = "operations",
    params(ActionFilter, Paging),
    responses((status = 200, description = "A page of actions", body = List<ActionView>)))]
async fn actions(State(db): State<PgPool>, asked: Listed<ActionFilter>) -> ApiResult<Answer<List<ActionView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(actions::list(&mut conn, &asked.filter, &asked.page).await?))
}

/// Read the overview's numbers
///
/// Does everything hold, who waits for a person, does work flow, are there workers, what was ordered. At most a second old.
#[utoipa::path(get, path = "/v1/ops/summary", tag = "operations", responses(
    (status = 200, description = "The numbers", body = Summary),
))]
async fn summary(State(state): State<AppState>) -> ApiResult<Response> {
    Ok(Answer(&*state.overview.summary().await?).into_response())
}

/// Read statistics over time
///
/// Throughput, waits, running times, depths and orders, at most 1,000 steps. They are at most ten seconds old, are the same in
/// all processes and survive restarts. A step without a row is a gap.
#[utoipa::path(get, path = "/v1/ops/history", tag = "operations", params(HistoryRange), responses(
    (status = 200, description = "The statistics of the range", body = History),
    (status = 422, description = "`invalid_range`; `range_too_long`: take a longer step", body = Problem),
))]
async fn history(State(state): State<AppState>, Query(range): Query<HistoryRange>) -> ApiResult<Response> {
    Ok(Answer(&*state.overview.history(range).await?).into_response())
}

/// List what runs by the clock
///
/// What each does, when it last ran, and when it runs again. Empty until the first worker has started.
#[utoipa::path(get, path = "/v1/ops/clock", tag = "operations", responses(
    (status = 200, description = "Everything that runs by the clock", body = List<ClockView>),
))]
async fn clock(State(db): State<PgPool>) -> ApiResult<Answer<List<ClockView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(List { data: schedule::clocks(&mut conn).await?, next_cursor: None }))
}
