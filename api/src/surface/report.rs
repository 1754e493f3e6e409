//! One log line and one count in the metrics for each request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::http::Method;
use axum::response::Response;
use shared::platform::telemetry::trace::{self, TraceParent};
use shared::queue::Origin;
use tracing::{Span, error_span, field};

use crate::error::ApiError;
use crate::metrics::ApiMetrics;
use crate::policy::Policy;
use crate::state::AppState;
use crate::surface::request_id::RequestId;

/// Reports a request once: when it is answered, or when it is dropped before that. hyper drops the handler when the
/// client closes the connection.
pub struct RequestReport {
    metrics: Arc<ApiMetrics>,
    span: Span,
    method: Method,
    route: String,
    /// `None` once the request is reported.
    started: Option<Instant>,
}

/// nginx's status for a client that closed the connection before it was answered.
const CLIENT_CLOSED: u16 = 499;

impl RequestReport {
    /// Opens the span of a request. Also returns what the jobs of this request say about where they came from.
    pub fn begin(
        state: &AppState,
        request: &Request,
        policy: &Policy,
        RequestId(request_id): &RequestId,
    ) -> (Self, Origin) {
        let method = request.method().clone();
        let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
        // A span of the highest level: log lines inside it carry the request's fields at every log level.
        let span = error_span!(
            "request", otel.name = format!("{method} {route}"), otel.kind = "server", request_id,
            trace_id = field::Empty, %method, route, status = field::Empty, user_id = field::Empty,
            order_id = policy.order_id(&route, request.uri().path()),
        );
        let trace_parent = trace::join(&span, trace_parent(state, request));
        let origin = Origin { request_id: Some(request_id.clone()), trace_parent: Some(trace_parent.to_string()) };
        (Self { metrics: state.metrics.clone(), span, method, route, started: Some(Instant::now()) }, origin)
    }

    pub fn span(&self) -> Span {
        self.span.clone()
    }

    pub fn answered(mut self, response: &Response) {
        let code = response.extensions().get::<ApiError>().map(|error| error.code.as_str());
        self.write(response.status().as_u16(), code);
    }

    fn write(&mut self, status: u16, code: Option<&str>) {
        let Some(elapsed) = self.started.take().map(|started| started.elapsed()) else { return };
        self.metrics.observe(self.method.as_str(), &self.route, status, elapsed);
        self.span.record("status", status);
        let _in_span = self.span.enter();
        let duration_ms = elapsed.as_secs_f64() * 1000.0;
        match status {
            CLIENT_CLOSED => tracing::info!(duration_ms, "the client closed the connection before it was answered"),
            500.. => tracing::error!(duration_ms, code, "answered {status}"),
            _ => tracing::info!(duration_ms, code, "answered {status}"),
        }
    }
}

impl Drop for RequestReport {
    fn drop(&mut self) {
        self.write(CLIENT_CLOSED, None);
    }
}

/// The trace that a request continues. We believe only our own proxies: anybody else could add requests to a trace of
/// their choice, or have each of their requests recorded.
fn trace_parent(state: &AppState, request: &Request) -> Option<TraceParent> {
    let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
    if !state.settings.trusted_proxies.trusts(peer.ip().to_canonical()) {
        return None;
    }
    let header = |name| request.headers().get(name)?.to_str().ok();
    TraceParent::from_headers(header(trace::TRACE_PARENT)?, header(trace::TRACE_STATE))
}
