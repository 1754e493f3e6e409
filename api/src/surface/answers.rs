//! Bounds what answers cost while their readers take them: refuses requests past the number in flight, compresses, and
//! counts large answers against the memory for answers.

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use shared::error::Error;
use shared::platform::http::answer::{Overloaded, Peer};
use shared::platform::limits::Class;

use crate::error::ApiError;
use crate::policy::Policy;
use crate::surface::compression;

/// An answer with this extension has a body that all its readers share, so that each costs nothing.
#[derive(Debug, Clone, Copy)]
pub struct SharedBody;

/// Probes must be answered also when too many requests are in flight: a process that is busy is not dead.
const PROBES: [&str; 2] = ["/health/live", "/health/ready"];

pub async fn bound(request: Request, next: Next) -> Response {
    let overloaded = request.extensions().get::<Overloaded>().is_some();
    if overloaded && !PROBES.contains(&request.uri().path()) {
        return refusal();
    }
    let gzip = compression::accepts_gzip(request.headers());
    // What changes something must not be refused after it has happened. Its answers are small.
    let is_read = request.extensions().get::<Policy>().is_some_and(|policy| policy.class == Some(Class::Read));
    let reads = is_read || [Method::GET, Method::HEAD].contains(request.method());
    let peer = request.extensions().get::<Peer>().filter(|_| reads).cloned();
    let response = compression::compress(next.run(request).await, gzip).await;
    match peer {
        Some(peer) if response.extensions().get::<SharedBody>().is_none() => hold(response, &peer).await,
        _ => response,
    }
}

/// Streams, whose size nobody knows, are bounded by their number alone.
async fn hold(response: Response, peer: &Peer) -> Response {
    if response.body().size_hint().exact().is_none_or(|size| size == 0) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else {
        unreachable!("a body whose exact size is known is in memory");
    };
    match peer.hold(bytes) {
        Some(held) => Response::from_parts(parts, Body::from(held)),
        None => refusal(),
    }
}

fn refusal() -> Response {
    ApiError::from(Error::Overloaded).into_response()
}
