//! Health checks, for probes and for people.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use shared::health::Health;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::error::{ApiError, ApiResult, PROBLEM_JSON, Problem};
use crate::policy::{Access, Policy};
use crate::router::Routes;
use crate::state::AppState;
use crate::surface::request_id::RequestId;

pub fn routes() -> Routes {
    let read = Policy::read(Access::Anyone);
    let probe = read.without_rate_limit();
    Routes::default().on(routes!(health), read).on(routes!(live), probe).on(routes!(ready), probe)
}

/// The problem document, together with what is down.
#[derive(Serialize, ToSchema)]
struct Unhealthy {
    #[serde(flatten)]
    health: Health,
    #[serde(flatten)]
    problem: Problem,
}

/// Read which servers this process can reach
///
/// 503 when the database is down. Without Redis everything still works, only slower: 200, `degraded`.
#[utoipa::path(get, path = "/health", tag = "health", responses(
    (status = 200, description = "The database answers", body = Health, example = json!({ "db": "ok", "redis": "ok" })),
    (status = 503, description = "`unavailable`: the database does not answer", body = Unhealthy, content_type = "application/problem+json"),
))]
async fn health(State(state): State<AppState>, Extension(request_id): Extension<RequestId>) -> Response {
    let health = state.probe.ask().await;
    if health.db == "ok" {
        return Json(health).into_response();
    }
    let problem = unavailable("the database does not answer").problem(&request_id.0);
    let kind = [(header::CONTENT_TYPE, PROBLEM_JSON)];
    (StatusCode::SERVICE_UNAVAILABLE, kind, Json(Unhealthy { health, problem })).into_response()
}

fn unavailable(detail: &str) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
}

/// Is the process alive?
#[utoipa::path(get, path = "/health/live", tag = "health", responses((status = 200, description = "Yes")))]
pub(crate) async fn live() -> StatusCode {
    StatusCode::OK
}

/// Should requests be sent here?
#[utoipa::path(get, path = "/health/ready", tag = "health", responses(
    (status = 200, description = "Yes"),
    (status = 503, description = "`unavailable`: the database does not answer, no place for a connection has been free for seconds, or the process is stopping", body = Problem),
))]
pub(crate) async fn ready(State(state): State<AppState>) -> ApiResult<StatusCode> {
    if state.stopping.is_cancelled() {
        return Err(unavailable("this process is stopping"));
    }
    if state.places.full_for().is_some_and(|full| full > state.connection_limits.full) {
        return Err(unavailable("no place for a connection is free"));
    }
    if !state.probe.database_answers().await {
        return Err(unavailable("the database does not answer"));
    }
    Ok(StatusCode::OK)
}
