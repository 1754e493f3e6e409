//! Serves `/health` and `/metrics` of this worker.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use shared::health::Health;
use shared::platform::http;
use shared::platform::http::connection::AcceptedConnection;
use shared::platform::http::limits::Limits;
use shared::platform::http::places::{ConnectionMetrics, OPERATORS, Places};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::Vitals;

/// Serves until it is dropped, also while the last jobs finish, so that their metrics are scraped.
pub async fn serve(listener: TcpListener, vitals: Vitals, limits: Limits) -> anyhow::Result<()> {
    let routes = Router::new()
        .route("/health", get(health))
        .route("/health/live", get(StatusCode::OK))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(vitals);
    let places = Places::new(OPERATORS, |_| false, ConnectionMetrics::new("millrace_worker")?);
    let talk = |AcceptedConnection { socket, talk }| {
        let routes = routes.clone();
        let app = move |request: hyper::Request<hyper::body::Incoming>| {
            let answer = routes.clone().oneshot(request.map(Body::new));
            async move { answer.await.unwrap_or_else(|never| match never {}) }
        };
        talk.http1(socket, app)
    };
    // It has no stop of its own: the caller drops it.
    http::serve(listener, places, limits, CancellationToken::new(), talk).await;
    Ok(())
}

async fn health(State(vitals): State<Vitals>) -> (StatusCode, Json<Health>) {
    let health = vitals.probe.ask().await;
    let status = if health.db == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health))
}

async fn ready(State(vitals): State<Vitals>) -> StatusCode {
    if !vitals.stopping.is_cancelled() && vitals.probe.database_answers().await {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

async fn metrics(State(vitals): State<Vitals>) -> Result<String, StatusCode> {
    vitals.metrics.text().await.map_err(|error| {
        tracing::error!(%error, "metrics could not be written: {error}");
        StatusCode::INTERNAL_SERVER_ERROR
    })
}
