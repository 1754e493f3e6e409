//! Health and metrics of this worker, for probes and for the scraper.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use shared::platform::health::Health;
use shared::platform::http::connection::Connection;
use shared::platform::http::places::{ConnectionMetrics, OPERATORS, Places};
use shared::platform::http::{self, Limits};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::Vitals;

/// Serves until it is dropped, also while the last jobs finish: a scraper wants to see them.
pub async fn serve(listener: TcpListener, vitals: Vitals) -> anyhow::Result<()> {
    let routes = Router::new()
        .route("/health", get(health))
        .route("/health/live", get(StatusCode::OK))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(vitals);
    let places = Places::new(OPERATORS, |_| false, ConnectionMetrics::new("millrace_worker")?);
    let talk = |Connection { socket, talk }| {
        let routes = routes.clone();
        let app = move |request: hyper::Request<hyper::body::Incoming>| {
            let answer = routes.clone().oneshot(request.map(Body::new));
            async move { answer.await.unwrap_or_else(|never| match never {}) }
        };
        talk.http1(socket, app)
    };
    // Nothing ends it but the process.
    http::serve(listener, places, Limits::default(), CancellationToken::new(), talk).await;
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
        tracing::error!(%error, "metrics cannot be written: {error}");
        StatusCode::INTERNAL_SERVER_ERROR
    })
}
