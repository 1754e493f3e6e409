//! What every request passes and every answer has: a request id, a time limit, one log line, one form of
//! error. Nothing below here needs to think of them.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures::{FutureExt, StreamExt};
use tower_http::compression::CompressionLayer;
use tracing::{Instrument, Span, field, info_span};
use uuid::Uuid;

use crate::AppState;
use crate::error::{ApiError, PROBLEM_JSON};

/// Nothing that we serve needs longer; a client that waits longer has given up.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Room for an order of 100 lines many times over. Bulk counts have their own limit.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// After this much of a body that nobody reads, or after this time, we stop listening and hang up.
const HEAR_OUT_BYTES: usize = 64 * 1024 * 1024;
const HEAR_OUT_TIME: Duration = Duration::from_secs(3);

/// What a browser is told about every answer. Nothing here is to be framed, guessed at, or loaded from elsewhere;
/// the page at /docs brings its own styles.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
        ),
    ),
];

pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The name of a request, in its answer, its log lines, and the jobs that it causes.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// Puts the surface around the routes. Each request may take `timeout`.
pub fn wrap(routes: Router<AppState>, state: AppState, timeout: Duration) -> Router {
    routes
        .fallback(|| async { ApiError::of_status(StatusCode::NOT_FOUND) })
        .layer(middleware::from_fn_with_state(state.clone(), crate::cached::after_change))
        .layer(middleware::from_fn_with_state(state.clone(), crate::auth::identify))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state((state.clone(), timeout), around))
        .layer(CompressionLayer::new())
        .with_state(state)
}

async fn around(State((state, timeout)): State<(AppState, Duration)>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = request_id(&request);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "unknown".to_owned());
    let span = info_span!("request", request_id, %method, route, user.id = field::Empty, order.id = field::Empty);
    request.extensions_mut().insert(RequestId(request_id.clone()));

    let api = request.uri().path().starts_with("/v1/");
    let (request, rest) = keep_hold_of_body(request);

    let response = carry_out(request, next, timeout).instrument(span.clone()).await;
    hear_out(rest).await;
    let mut response = in_our_form(response, &request_id);

    let headers = response.headers_mut();
    headers.insert(&X_REQUEST_ID, HeaderValue::from_str(&request_id).expect("it is visible ASCII"));
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(value);
    }
    if api {
        // Tokens and other people's orders stand in these answers: no cache on the way may keep one.
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    let elapsed = started.elapsed();
    state.metrics.observe(method.as_str(), &route, response.status().as_u16(), elapsed);
    log(&span, response.status(), elapsed, &response);
    response
}

/// Runs the handler, and answers for it when it panics or takes too long.
async fn carry_out(request: Request, next: Next, timeout: Duration) -> Response {
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
        Err(_elapsed) => ApiError::of_status(StatusCode::GATEWAY_TIMEOUT).into_response(),
    }
}

type Rest = Arc<Mutex<BodyDataStream>>;

/// The request, and a handle on what is left of its body once its reader has given up.
fn keep_hold_of_body(request: Request) -> (Request, Option<Rest>) {
    if request.body().is_end_stream() {
        return (request, None);
    }
    let (parts, body) = request.into_parts();
    let rest = Rest::new(Mutex::new(body.into_data_stream()));
    let reader = rest.clone();
    let body = Body::from_stream(futures::stream::poll_fn(move |context| {
        reader.lock().expect("its two users take turns").poll_next_unpin(context)
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

fn log(span: &Span, status: StatusCode, elapsed: Duration, response: &Response<Body>) {
    let _in_span = span.enter();
    let elapsed_ms = elapsed.as_secs_f64() * 1000.0;
    let code = response.extensions().get::<ApiError>().map(|error| error.code.as_str());
    let status = status.as_u16();
    if status >= 500 {
        tracing::error!(status, elapsed_ms, code, "answered {status}");
    } else {
        tracing::info!(status, elapsed_ms, code, "answered {status}");
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
