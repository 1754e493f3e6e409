//! What every request passes and every answer has: a request id, a trace, a time limit, one log line, one form of
//! error, headers for browsers. Nothing below here needs to think of them.

mod answers;
pub mod assets;
pub mod compression;
pub mod connections;
pub mod cors;
pub mod freshness;
pub mod limits;
pub mod tls;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures::{FutureExt, StreamExt};
use shared::platform::telemetry::trace::{self, TraceParent};
use shared::queue::Origin;
use tower::util::option_layer;
use tracing::{Instrument, Span, error_span, field};
use uuid::Uuid;

use crate::AppState;
use crate::error::{ApiError, PROBLEM_JSON};
use crate::metrics::ApiMetrics;

/// Nothing that we serve needs longer; a client that waits longer has given up.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Room for an order of 100 lines many times over. Bulk counts have their own limit.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// Where nobody is known yet: an address, a password and a name many times over. Such bodies are read before we know
/// who sends them.
pub const CREDENTIALS_LIMIT: usize = 8 * 1024;

/// After this much of a body that nobody reads, or after this time, we stop listening and hang up.
const HEAR_OUT_BYTES: usize = 64 * 1024 * 1024;
const HEAR_OUT_TIME: Duration = Duration::from_secs(3);

/// What a browser is told about every answer: nothing here is to be framed or guessed at.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// An answer of ours is data. Should a browser be led to show it as a page, that page may do nothing.
const POLICY_OF_DATA: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// The page at /docs is made of our own files, but for the styles and pictures that its scripts write into it.
const POLICY_OF_DOCS: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Whoever was here over TLS comes back over TLS. Our name only: what else its owner serves below it is theirs to say.
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000");

pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The name of a request, in its answer, its log lines, and the jobs that it causes.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// Puts the surface around the routes. Each request may take `timeout`.
pub fn wrap(routes: Router<AppState>, state: AppState, timeout: Duration) -> Router {
    routes
        .fallback(|| async { ApiError::of_status(StatusCode::NOT_FOUND) })
        .layer(middleware::from_fn_with_state(state.clone(), freshness::after_change))
        .layer(middleware::from_fn_with_state(state.clone(), crate::extract::principal::identify))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(timeout, carry_out))
        .layer(middleware::from_fn(answers::bound))
        .layer(option_layer(state.settings.cors_origins.layer()))
        .layer(middleware::from_fn_with_state(state.clone(), around))
        .with_state(state)
}

async fn around(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let request_id = request_id(&request);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "unknown".to_owned());
    let path = request.uri().path();
    // A span of the highest level, so that the lines inside it name their request whatever level is logged.
    let span = error_span!(
        "request", otel.name = format!("{method} {route}"), otel.kind = "server", request_id, trace_id = field::Empty,
        %method, route, status = field::Empty, user_id = field::Empty, order_id = order_of(&route, path),
    );
    let trace_parent = trace::join(&span, trace_parent(&state, &request));
    let report =
        Report { metrics: state.metrics.clone(), span: span.clone(), method, route, started: Some(Instant::now()) };
    let origin = Origin { request_id: Some(request_id.clone()), trace_parent: Some(trace_parent.to_string()) };
    let api = path.starts_with("/v1/");
    let policy = if path.starts_with("/docs") { POLICY_OF_DOCS } else { POLICY_OF_DATA };
    request.extensions_mut().insert(RequestId(request_id.clone()));
    request.extensions_mut().insert(origin);
    let (request, rest) = keep_hold_of_body(request);

    let response = next.run(request).instrument(span).await;
    hear_out(rest).await;
    let mut response = in_our_form(response, &request_id);

    let headers = response.headers_mut();
    headers.insert(&X_REQUEST_ID, HeaderValue::from_str(&request_id).expect("it is visible ASCII"));
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(value);
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    if state.tls.is_some() {
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(STRICT_TRANSPORT);
    }
    if api {
        // Tokens and other people's orders stand in these answers: no cache on the way may keep one.
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    report.answered(&response);
    response
}

/// The trace that a request continues. Only our own proxies are believed: anybody else could hang requests into a
/// trace of their choice, or have every one of theirs recorded.
fn trace_parent(state: &AppState, request: &Request) -> Option<TraceParent> {
    let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
    if !state.settings.trusted_proxies.trusts(peer.ip().to_canonical()) {
        return None;
    }
    request.headers().get("traceparent")?.to_str().ok()?.parse().ok()
}

/// The order that a path is about.
fn order_of<'a>(route: &str, path: &'a str) -> Option<&'a str> {
    let id = path.split('/').nth(3).filter(|_| route.starts_with("/v1/orders/{id}"))?;
    Uuid::parse_str(id).ok().map(|_| id)
}

/// Runs the handler, and answers for it when it panics or takes too long. A body that does not arrive is the client's
/// fault, and everything else is ours.
async fn carry_out(State(timeout): State<Duration>, request: Request, next: Next) -> Response {
    let body = request.extensions().get::<WaitsForBody>().cloned();
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(timeout, handled).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            let what = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("of an unknown kind");
            tracing::error!(panic = what, "a handler panicked: {what}");
            ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
        Err(_elapsed) if body.is_some_and(|body| body.0.load(Ordering::Relaxed)) => {
            ApiError::of_status(StatusCode::REQUEST_TIMEOUT).into_response()
        }
        Err(_elapsed) => ApiError::of_status(StatusCode::GATEWAY_TIMEOUT).into_response(),
    }
}

/// Does the handler wait for more of the body?
#[derive(Clone, Default)]
struct WaitsForBody(Arc<AtomicBool>);

type Rest = Arc<Mutex<BodyDataStream>>;

/// The request, and a handle on what is left of its body once its reader has given up.
fn keep_hold_of_body(request: Request) -> (Request, Option<Rest>) {
    if request.body().is_end_stream() {
        return (request, None);
    }
    let (mut parts, body) = request.into_parts();
    let rest = Rest::new(Mutex::new(body.into_data_stream()));
    let (reader, waits) = (rest.clone(), WaitsForBody::default());
    parts.extensions.insert(waits.clone());
    let body = Body::from_stream(futures::stream::poll_fn(move |context| {
        let next = reader.lock().expect("its two users take turns").poll_next_unpin(context);
        waits.0.store(next.is_pending(), Ordering::Relaxed);
        next
    }));
    (Request::from_parts(parts, body), Some(rest))
}

/// Takes in what nobody wanted of a body: a client that is still sending when we answer and close would see a
/// broken connection instead of our answer.
async fn hear_out(rest: Option<Rest>) {
    let Some(rest) = rest else { return };
    let heard_out = async {
        let mut heard = 0;
        while heard < HEAR_OUT_BYTES {
            let next =
                std::future::poll_fn(|context| rest.lock().expect("its two users take turns").poll_next_unpin(context));
            match next.await {
                Some(Ok(chunk)) => heard += chunk.len(),
                _ => break,
            }
        }
    };
    tokio::time::timeout(HEAR_OUT_TIME, heard_out).await.ok();
}

/// Writes the problem document, also for errors that a library answered in a form of its own.
fn in_our_form(mut response: Response, request_id: &str) -> Response {
    let status = response.status();
    let error = match response.extensions_mut().remove::<ApiError>() {
        Some(error) => error,
        None if response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON) => {
            return response;
        }
        None if status.is_client_error() || status.is_server_error() => ApiError::of_status(status),
        None => return response,
    };
    let mut written = (status, Json(error.problem(request_id))).into_response();
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            written.headers_mut().append(name, value.clone());
        }
    }
    written.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    written.extensions_mut().insert(error);
    written
}

/// What is said of a request, once: when it is answered, or when its client goes before that, which ends its handler
/// wherever it stands.
struct Report {
    metrics: Arc<ApiMetrics>,
    span: Span,
    method: Method,
    route: String,
    /// None when all is said.
    started: Option<Instant>,
}

/// What nginx writes for a client that went.
const CLIENT_WENT: u16 = 499;

impl Report {
    fn answered(mut self, response: &Response) {
        let code = response.extensions().get::<ApiError>().map(|error| error.code.as_str());
        self.say(response.status().as_u16(), code);
    }

    fn say(&mut self, status: u16, code: Option<&str>) {
        let Some(elapsed) = self.started.take().map(|started| started.elapsed()) else { return };
        self.metrics.observe(self.method.as_str(), &self.route, status, elapsed);
        self.span.record("status", status);
        let _in_span = self.span.enter();
        let duration_ms = elapsed.as_secs_f64() * 1000.0;
        match status {
            CLIENT_WENT => tracing::info!(duration_ms, "the client went before it was answered"),
            500.. => tracing::error!(duration_ms, code, "answered {status}"),
            _ => tracing::info!(duration_ms, code, "answered {status}"),
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.say(CLIENT_WENT, None);
    }
}

/// The client's own id where it is sane: it ends up in logs and in jobs.
fn request_id(request: &Request) -> String {
    request
        .headers()
        .get(&X_REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()))
        .map_or_else(|| Uuid::now_v7().to_string(), ToOwned::to_owned)
}
