//! Reads the rest of a request body that a handler did not read.
//!
//! When we reject a request before reading its body, we drain the rest (up to 64 MiB or 3 s). Otherwise the client,
//! which is still sending, sees a reset connection instead of our error.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use futures::StreamExt;

/// Past either limit we close the connection: draining must not cost us more than the request would have.
const DRAIN_MAX_BYTES: usize = 64 * 1024 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// The body of a request, shared between its handler and `drain_unread_body`.
pub type Unread = Arc<Mutex<BodyDataStream>>;

/// An extension of each request that has a body: does its handler wait for more of the body?
#[derive(Debug, Clone, Default)]
pub struct WaitsForBody(Arc<AtomicBool>);

impl WaitsForBody {
    pub fn waits(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

const LOCK: &str = "the handler has stopped reading when we drain";

/// Keeps a handle on the body, with which what the handler leaves unread can be drained.
pub fn keep_unread(request: Request) -> (Request, Option<Unread>) {
    if request.body().is_end_stream() {
        return (request, None);
    }
    let (mut parts, body) = request.into_parts();
    let unread = Unread::new(Mutex::new(body.into_data_stream()));
    let (reader, waits) = (unread.clone(), WaitsForBody::default());
    parts.extensions.insert(waits.clone());
    let body = Body::from_stream(futures::stream::poll_fn(move |context| {
        let next = reader.lock().expect(LOCK).poll_next_unpin(context);
        waits.0.store(next.is_pending(), Ordering::Relaxed);
        next
    }));
    (Request::from_parts(parts, body), Some(unread))
}

pub async fn drain_unread_body(unread: Option<Unread>) {
    let Some(unread) = unread else { return };
    let drain = async {
        let mut drained = 0;
        while drained < DRAIN_MAX_BYTES {
            match poll_fn(|context| unread.lock().expect(LOCK).poll_next_unpin(context)).await {
                Some(Ok(chunk)) => drained += chunk.len(),
                _ => break,
            }
        }
    };
    tokio::time::timeout(DRAIN_TIMEOUT, drain).await.ok();
}
