//! Health and metrics of this worker, for probes and for the scraper.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use prometheus::TextEncoder;
use shared::health::Health;
use tokio::net::TcpListener;

use crate::Context;

/// Serves until it is dropped, also while the last jobs finish: a scraper wants to see them.
pub async fn serve(listener: TcpListener, context: Context) -> anyhow::Result<()> {
    let routes = Router::new()
        .route("/health", get(health))
        .route("/health/live", get(StatusCode::OK))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(context);
    axum::serve(listener, routes).await?;
    Ok(())
}

async fn health(State(context): State<Context>) -> (StatusCode, Json<Health>) {
    let health = context.probe.ask().await;
    let status = if health.db == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health))
}

async fn ready(State(context): State<Context>) -> StatusCode {
    if !context.stopping.is_cancelled() && context.probe.database_answers().await {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

async fn metrics(State(context): State<Context>) -> Result<String, StatusCode> {
    TextEncoder::new().encode_to_string(&context.metrics.gather()).map_err(|error| {
        tracing::error!(%error, "metrics cannot be written: {error}");
        StatusCode::INTERNAL_SERVER_ERROR
    })
}
