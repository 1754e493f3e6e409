//! Operations over HTTP: queues, jobs, workers, the audit. For staff.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use shared::actions::{self, ActionFilter, ActionView};
use shared::audit::{self, Report};
use shared::error::Error;
use shared::ops::jobs::{self, JobDetail, JobFilter, JobView, QueueView, Retried, RetryJobs, WorkerView};
use shared::page::{List, Paging};
use shared::values::JobId;
use sqlx::PgPool;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::AppState;
use crate::error::{ApiResult, Problem};
use crate::extract::idempotent::Once;
use crate::extract::json::{Listed, Path, Query};
use crate::extract::principal::Staff;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(queues))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(jobs))
        .routes(routes!(retry_many))
        .routes(routes!(job))
        .routes(routes!(retry))
        .routes(routes!(discard))
        .routes(routes!(workers))
        .routes(routes!(audit))
        .routes(routes!(actions))
}

/// A request that says everything by its address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NoBody {}

/// Queues
///
/// How each stands, in the order in which workers take from them.
#[utoipa::path(get, path = "/v1/ops/queues", tag = "operations", security(("token" = [])), responses(
    (status = 200, description = "All queues", body = List<QueueView>, example = json!({"data": [
        {"name": "high", "ready": 3, "scheduled": 1, "running": 8, "dead": 0, "oldest_ready_seconds": 0, "paused": false},
        {"name": "default", "ready": 0, "scheduled": 0, "running": 2, "dead": 0, "oldest_ready_seconds": 0, "paused": false},
        {"name": "low", "ready": 120, "scheduled": 40, "running": 0, "dead": 1, "oldest_ready_seconds": 31, "paused": true},
    ], "next_cursor": null})),
))]
async fn queues(State(db): State<PgPool>, _staff: Staff) -> ApiResult<Answer<List<QueueView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(List { data: jobs::queues(&mut conn).await?, next_cursor: None }))
}

/// Pause a queue
///
/// Within two seconds no worker takes from it any more, until it is resumed; what runs finishes. Asked again,
/// nothing changes.
#[utoipa::path(post, path = "/v1/ops/queues/{name}/pause", tag = "operations", security(("token" = [])),
    params(("name" = String, Path, description = "`high`, `default` or `low`")),
    responses(
        (status = 200, description = "The queue, paused", body = QueueView),
        (status = 404, description = "`queue_not_found`", body = Problem),
    ))]
async fn pause(_staff: Staff, Path(name): Path<String>, mut once: Once<NoBody>) -> ApiResult<Response> {
    let queue = jobs::set_paused(&mut once.tx, &name, true).await?;
    once.answer(StatusCode::OK, &queue).await
}

/// Resume a queue
///
/// Within two seconds workers take from it again. Asked again, nothing changes.
#[utoipa::path(post, path = "/v1/ops/queues/{name}/resume", tag = "operations", security(("token" = [])),
    params(("name" = String, Path, description = "`high`, `default` or `low`")),
    responses(
        (status = 200, description = "The queue, not paused", body = QueueView),
        (status = 404, description = "`queue_not_found`", body = Problem),
    ))]
async fn resume(_staff: Staff, Path(name): Path<String>, mut once: Once<NoBody>) -> ApiResult<Response> {
    let queue = jobs::set_paused(&mut once.tx, &name, false).await?;
    once.answer(StatusCode::OK, &queue).await
}

/// Jobs
///
/// Newest first. What is done is removed after a while; what is dead stays until a person decides.
#[utoipa::path(get, path = "/v1/ops/jobs", tag = "operations", security(("token" = [])), params(JobFilter, Paging), responses(
    (status = 200, description = "A page of jobs", body = List<JobView>),
    (status = 422, description = "`invalid_limit`, `invalid_cursor`, or a filter is not right", body = Problem),
))]
async fn jobs(State(db): State<PgPool>, _staff: Staff, asked: Listed<JobFilter>) -> ApiResult<Answer<List<JobView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(jobs::list(&mut conn, asked.filter, asked.page).await?))
}

/// Read a job
///
/// With every attempt that failed: when, where, for how long, and why.
#[utoipa::path(get, path = "/v1/ops/jobs/{id}", tag = "operations", security(("token" = [])), params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "The job", body = JobDetail),
        (status = 404, description = "`job_not_found`", body = Problem),
    ))]
async fn job(State(db): State<PgPool>, _staff: Staff, Path(id): Path<JobId>) -> ApiResult<Answer<JobDetail>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(jobs::get(&mut conn, id).await?))
}

/// Retry a dead job
///
/// It runs at once, with a fresh budget of attempts; those that failed stay on record.
#[utoipa::path(post, path = "/v1/ops/jobs/{id}/retry", tag = "operations", security(("token" = [])),
    params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "The job, `ready`", body = JobDetail),
        (status = 404, description = "`job_not_found`", body = Problem),
        (status = 409, description = "`job_not_dead`", body = Problem),
    ))]
async fn retry(
    State(state): State<AppState>,
    staff: Staff,
    Path(id): Path<JobId>,
    mut once: Once<NoBody>,
) -> ApiResult<Response> {
    let (job, ring) = jobs::retry(&mut once.tx, &staff, id, state.settings.job_max_attempts).await?;
    let answer = once.answer(StatusCode::OK, &job).await?;
    state.doorbell.ring([ring]);
    Ok(answer)
}

/// Discard a dead job
///
/// It never runs again. Its order stays with staff (`next_action`) until somebody moves it.
#[utoipa::path(post, path = "/v1/ops/jobs/{id}/discard", tag = "operations", security(("token" = [])),
    params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "The job, `discarded`", body = JobDetail),
        (status = 404, description = "`job_not_found`", body = Problem),
        (status = 409, description = "`job_not_dead`", body = Problem),
    ))]
async fn discard(staff: Staff, Path(id): Path<JobId>, mut once: Once<NoBody>) -> ApiResult<Response> {
    let job = jobs::discard(&mut once.tx, &staff, id).await?;
    once.answer(StatusCode::OK, &job).await
}

/// Retry many dead jobs
///
/// Those of a kind, a queue or an error, the oldest first, up to `limit`.
#[utoipa::path(post, path = "/v1/ops/jobs/retry", tag = "operations", security(("token" = [])),
    request_body = RetryJobs,
    responses(
        (status = 200, description = "How many are tried again", body = Retried),
        (status = 422, description = "`invalid_limit`: it is from 1 to 10,000", body = Problem),
    ))]
async fn retry_many(State(state): State<AppState>, staff: Staff, mut once: Once<RetryJobs>) -> ApiResult<Response> {
    let rings = jobs::retry_many(&mut once.tx, &staff, &once.body, state.settings.job_max_attempts).await?;
    let answer = once.answer(StatusCode::OK, &Retried { retried: rings.len() }).await?;
    state.doorbell.ring(rings);
    Ok(answer)
}

/// Workers
///
/// Those that live, with what they are running.
#[utoipa::path(get, path = "/v1/ops/workers", tag = "operations", security(("token" = [])), responses(
    (status = 200, description = "All workers that live", body = List<WorkerView>),
))]
async fn workers(State(db): State<PgPool>, _staff: Staff) -> ApiResult<Answer<List<WorkerView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(List { data: jobs::workers(&mut conn).await?, next_cursor: None }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WhichAudit {
    /// `true` runs it now; what looks wrong is looked at twice
    #[serde(default)]
    #[param(default = false)]
    fresh: bool,
}

/// The integrity audit
///
/// What must always be true, and what breaks it. It runs every few minutes; this is the last run.
#[utoipa::path(get, path = "/v1/ops/audit", tag = "operations", security(("token" = [])), params(WhichAudit), responses(
    (status = 200, description = "What the audit found", body = Report, example = json!({
        "ran_at": "2026-11-21T08:15:00Z", "violations": 0,
        "invariants": [{"name": "stock_is_never_negative", "violations": 0, "offenders": []}],
    })),
))]
async fn audit(State(db): State<PgPool>, _staff: Staff, Query(which): Query<WhichAudit>) -> ApiResult<Answer<Report>> {
    if !which.fresh
        && let Some(report) = audit::last(&mut *db.acquire().await?).await?
    {
        return Ok(Answer(report));
    }
    // A run that outlasts its request ends all the same, and is the last one for whoever asks next.
    let run = tokio::spawn(async move { audit::run_to_certainty(&db).await });
    Ok(Answer(run.await.map_err(Error::internal)??))
}

/// Who did what
///
/// Everything that was done by hand, and every sign-in: who, what, on what, why, when, from where. Newest first.
#[utoipa::path(get, path = "/v1/ops/actions", tag = "operations", security(("token" = [])),
    params(ActionFilter, Paging),
    responses((status = 200, description = "A page of actions", body = List<ActionView>)))]
async fn actions(
    State(db): State<PgPool>,
    _staff: Staff,
    asked: Listed<ActionFilter>,
) -> ApiResult<Answer<List<ActionView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(actions::list(&mut conn, &asked.filter, &asked.page).await?))
}
