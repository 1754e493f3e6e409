//! Operations over HTTP, for staff: queues, jobs, workers, the audit, the record of actions.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use shared::actions::{self, ActionFilter, ActionView};
use shared::audit::{self, Report};
use shared::error::Error;
use shared::ops::jobs::{self, JobDetail, JobFilter, JobView, Retried, RetryJobs};
use shared::ops::queues::{self, QueueView};
use shared::ops::workers::{self, WorkerView};
use shared::page::{List, Paging};
use shared::principal::Permission;
use shared::values::JobId;
use sqlx::PgPool;
use utoipa_axum::routes;

use crate::error::{ApiResult, Problem};
use crate::extract::idempotent::Once;
use crate::extract::json::{Listed, NoBody, Path, Query};
use crate::extract::principal::Caller;
use crate::policy::{Access, Policy};
use crate::router::Routes;
use crate::state::AppState;

pub fn routes() -> Routes {
    let read = Policy::read(Access::Needs(Permission::OpsRead));
    let write = Policy::write(Access::Needs(Permission::OpsWrite)).takes_key();
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
        .on(routes!(actions), read)
}

/// List queues
///
/// Each with its counts, in the order in which workers take jobs from them.
#[utoipa::path(get, path = "/v1/ops/queues", tag = "operations", responses(
    (status = 200, description = "All queues", body = List<QueueView>, example = json!({"data": [
        {"name": "high", "ready": 3, "scheduled": 1, "running": 8, "dead": 0, "oldest_ready_seconds": 0, "paused": false},
        {"name": "default", "ready": 0, "scheduled": 0, "running": 2, "dead": 0, "oldest_ready_seconds": 0, "paused": false},
        {"name": "low", "ready": 120, "scheduled": 40, "running": 0, "dead": 1, "oldest_ready_seconds": 31, "paused": true},
    ], "next_cursor": null})),
))]
async fn queues(State(db): State<PgPool>) -> ApiResult<Answer<List<QueueView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(List { data: queues::list(&mut conn).await?, next_cursor: None }))
}

/// Pause a queue
///
/// Within two seconds no worker takes jobs from it. Running jobs finish. Asking again changes nothing.
#[utoipa::path(post, path = "/v1/ops/queues/{name}/pause", tag = "operations",
    params(("name" = String, Path, description = "`high`, `default` or `low`")),
    responses(
        (status = 200, description = "The queue, paused", body = QueueView),
        (status = 404, description = "`queue_not_found`", body = Problem),
    ))]
async fn pause(caller: Caller, Path(name): Path<String>, mut once: Once<NoBody>) -> ApiResult<Response> {
    let queue = queues::set_paused(&mut once.tx, &caller, &name, true).await?;
    once.answer(StatusCode::OK, &queue).await
}

/// Resume a queue
///
/// Within two seconds workers take from it again. Asked again, nothing changes.
#[utoipa::path(post, path = "/v1/ops/queues/{name}/resume", tag = "operations",
    params(("name" = String, Path, description = "`high`, `default` or `low`")),
    responses(
        (status = 200, description = "The queue, not paused", body = QueueView),
        (status = 404, description = "`queue_not_found`", body = Problem),
    ))]
async fn resume(caller: Caller, Path(name): Path<String>, mut once: Once<NoBody>) -> ApiResult<Response> {
    let queue = queues::set_paused(&mut once.tx, &caller, &name, false).await?;
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
    let job = jobs::discard(&mut once.tx, &caller, id, None).await?;
    once.answer(StatusCode::OK, &job).await
}

/// Retry many dead jobs
///
/// Dead jobs of a kind, a queue or an error: the oldest first, at most `limit`.
#[utoipa::path(post, path = "/v1/ops/jobs/retry", tag = "operations",
    request_body = RetryJobs,
    responses(
        (status = 200, description = "How many are retried", body = Retried),
        (status = 422, description = "`invalid_limit`: it is from 1 to 10,000", body = Problem),
    ))]
async fn retry_many(State(state): State<AppState>, caller: Caller, mut once: Once<RetryJobs>) -> ApiResult<Response> {
    let rings = jobs::retry_many(&mut once.tx, &caller, &once.body, state.settings.jobs.job_max_attempts).await?;
    let answer = once.answer(StatusCode::OK, &Retried { retried: rings.len() }).await?;
    state.doorbell.ring(rings);
    Ok(answer)
}

/// List live workers
///
/// Each with the jobs that it runs now.
#[utoipa::path(get, path = "/v1/ops/workers", tag = "operations", responses(
    (status = 200, description = "All live workers", body = List<WorkerView>),
))]
async fn workers(State(db): State<PgPool>) -> ApiResult<Answer<List<WorkerView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(List { data: workers::list(&mut conn).await?, next_cursor: None }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WhichAudit {
    /// `true` runs the audit now; a violation is checked a second time
    #[serde(default)]
    #[param(default = false)]
    fresh: bool,
}

/// Read the last integrity audit
///
/// Each invariant with its violations. The audit runs every few minutes.
#[utoipa::path(get, path = "/v1/ops/audit", tag = "operations", params(WhichAudit), responses(
    (status = 200, description = "What the audit found", body = Report, example = json!({
        "ran_at": "2026-11-21T08:15:00Z", "violations": 0,
        "invariants": [{"name": "stock_is_never_negative", "violations": 0, "offenders": []}],
    })),
))]
async fn audit(State(db): State<PgPool>, Query(which): Query<WhichAudit>) -> ApiResult<Answer<Report>> {
    if !which.fresh
        && let Some(report) = audit::last(&mut *db.acquire().await?).await?
    {
        return Ok(Answer(report));
    }
    // Spawned, so that a run which outlasts its request still finishes and becomes the last run.
    let run = tokio::spawn(async move { audit::run_to_certainty(&db).await });
    Ok(Answer(run.await.map_err(Error::internal)??))
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
