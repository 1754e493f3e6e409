//! For probes and for people: is this process alive, and can it do its work?

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use shared::health::Health;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::AppState;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(live)).routes(routes!(ready))
}

/// What this process can reach
///
/// 503 when the database is down. Without Redis everything still works, a little slower: 200, `degraded`.
#[utoipa::path(get, path = "/health", tag = "health", responses(
    (status = 200, description = "The database answers", body = Health),
    (status = 503, description = "The database does not answer", body = Health),
))]
async fn health(State(state): State<AppState>) -> (StatusCode, Json<Health>) {
    let health = state.probe.ask().await;
    let status = if health.db == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health))
}

/// Is the process alive?
#[utoipa::path(get, path = "/health/live", tag = "health", responses((status = 200, description = "Yes")))]
async fn live() -> StatusCode {
    StatusCode::OK
}

/// Should requests be sent here?
#[utoipa::path(get, path = "/health/ready", tag = "health", responses(
    (status = 200, description = "Yes"),
    (status = 503, description = "Not now: the database does not answer, or the process is stopping", body = crate::error::Problem),
))]
async fn ready(State(state): State<AppState>) -> StatusCode {
    if !state.stopping.is_cancelled() && state.probe.database_answers().await {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
