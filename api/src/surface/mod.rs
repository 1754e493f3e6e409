//! What holds for every request: a request id, a trace, a time limit, access, rate limits, one log line, one form of
//! error, headers for browsers. Handlers need not think of any of it.

pub mod access;
mod answers;
pub mod assets;
pub mod body;
pub mod compression;
pub mod connections;
pub mod cors;
pub mod freshness;
pub mod headers;
pub mod limits;
pub mod problem;
pub mod proxies;
pub mod report;
pub mod request_id;
pub mod tls;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::error::ApiError;
use crate::policy::{Policies, Policy};
use crate::router::Routes;
use crate::state::AppState;
use crate::surface::body::WaitsForBody;
use crate::surface::problem::Asked;
use crate::surface::report::RequestReport;

/// No route needs longer, and a client that waits longer has given up.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Puts the surface around the routes. A request may take `timeout`.
///
/// The layers, from the handler outwards (a request passes them from the last one to the first):
/// 1. `catch_up_after_change`: the answer to a change waits until the product cache knows of the change.
/// 2. `admit`: who calls, their rate limit, and whether the route's policy lets them in.
/// 3. A panic of the handler becomes a 500.
/// 4. A request that takes too long becomes a 504, or a 408 if its body did not arrive.
/// 5. `bound`: refuses requests when too many are in flight, compresses the answer, and bounds its memory.
/// 6. CORS answers preflight requests.
/// 7. `around`: finds the route's policy; afterwards writes errors, headers and the log line.
pub fn wrap(routes: Routes, state: AppState, timeout: Duration) -> Router {
    let (router, policies) = routes.into_parts();
    router
        .fallback(async || ApiError::of_status(StatusCode::NOT_FOUND))
        .layer(middleware::from_fn_with_state(state.clone(), freshness::catch_up_after_change))
        .layer(middleware::from_fn_with_state(state.clone(), access::admit))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(middleware::from_fn_with_state(timeout, limit_time))
        .layer(middleware::from_fn(answers::bound))
        .layer(option_layer(state.settings.cors_origins.layer()))
        .layer(middleware::from_fn_with_state((state.clone(), Arc::new(policies)), around))
        .with_state(state)
}

async fn around(
    State((state, policies)): State<(AppState, Arc<Policies>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let policy = policies.of(&request);
    let request_id = request_id::of(&request);
    let (report, origin) = RequestReport::begin(&state, &request, &policy, &request_id);
    DefaultBodyLimit::max(policy.body_limit).apply(&mut request);
    request.extensions_mut().insert(policy);
    request.extensions_mut().insert(request_id.clone());
    request.extensions_mut().insert(origin);
    let asked = Asked::of(&request);
    let (request, unread) = body::keep_unread(request);

    let response = next.run(request).instrument(report.span()).await;

    body::drain_unread_body(unread).await;
    let mut response = problem::write(response, policy.face, &asked, &request_id);
    headers::add(&mut response, policy.face, &request_id, state.tls.is_some());
    report.answered(&response);
    response
}

#[expect(clippy::needless_pass_by_value, reason = "the layer gives the panic away")]
fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a value that is not text");
    tracing::error!(panic = message, "a handler panicked: {message}");
    ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR).into_response()
}

/// A body that does not arrive in time is the client's fault, and everything else is ours.
async fn limit_time(State(timeout): State<Duration>, request: Request, next: Next) -> Response {
    let body = request.extensions().get::<WaitsForBody>().cloned();
    let timeout = timeout + request.extensions().get::<Policy>().map_or(Duration::ZERO, |policy| policy.waits);
    match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) if body.is_some_and(|body| body.waits()) => {
            ApiError::of_status(StatusCode::REQUEST_TIMEOUT).into_response()
        }
        Err(_elapsed) => ApiError::of_status(StatusCode::GATEWAY_TIMEOUT).into_response(),
    }
}
