//! Accepts connections, limits how many there are and how slow they may be, and serves them until the process stops.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::surface::tls::Tls;

/// A client that has not sent a whole request head by now occupies a connection for nothing (slowloris). It is also how
/// long an idle connection is kept, so a proxy should close its idle connections a little sooner.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A TLS handshake takes two round trips. A client that needs more than 10 s is broken or hostile.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The request line and all headers. Ours are tokens of 1 KiB; proxies add a few hundred bytes each.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Concurrent requests on one HTTP/2 connection. Browsers use fewer, and one connection must not cost us as much as a
/// thousand.
const MAX_STREAMS: u32 = 128;

/// How often we ping a silent HTTP/2 connection, and how long we wait for the answer.
const PING_EVERY: Duration = Duration::from_secs(20);

/// How long we wait when no connection can be accepted, for example because no file descriptor is free.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves until `stopping`, then waits for the running requests.
pub async fn serve(listener: TcpListener, tls: Option<Arc<Tls>>, most: u32, app: Router, stopping: CancellationToken) {
    let places = Arc::new(Semaphore::new(most as usize));
    let running = GracefulShutdown::new();
    let next = async || {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        (place, take(&listener).await)
    };
    while let Some((place, (stream, peer))) = stopping.run_until_cancelled(next()).await {
        let connection = Connection { peer, app: app.clone(), watcher: running.watcher() };
        let (tls, stopping) = (tls.clone(), stopping.clone());
        tokio::spawn(async move {
            // Send small answers at once instead of collecting them (Nagle's algorithm).
            stream.set_nodelay(true).ok();
            match tls {
                None => connection.speak_http1(stream).await,
                // Boxed, so that the futures of plain connections are not larger because of it.
                Some(tls) => _ = Box::pin(connection.speak_tls(stream, &tls, &stopping)).await,
            }
            drop(place);
        });
    }
    drop(listener);
    running.shutdown().await;
}

async fn take(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(taken) => return taken,
            Err(error) if is_its_own_fault(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Did the client close the connection before we accepted it?
fn is_its_own_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

struct Connection {
    peer: SocketAddr,
    app: Router,
    watcher: Watcher,
}

impl Connection {
    /// The handshake agrees on the version of HTTP. `None`: the handshake failed.
    async fn speak_tls(self, stream: TcpStream, tls: &Tls, stopping: &CancellationToken) -> Option<()> {
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.acceptor().accept(stream));
        let stream = match stopping.run_until_cancelled(handshake).await? {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed: {error}");
                return None;
            }
            Err(_elapsed) => return None,
        };
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => self.speak_http2(stream).await,
            _ => self.speak_http1(stream).await,
        }
        Some(())
    }

    /// An error is the client's fault: it closed the connection, or it does not speak HTTP (hyper then answers 400).
    async fn speak_http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static) {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), answer(self.app, self.peer, Arc::default()));
        self.watcher.watch(connection).await.ok();
    }

    async fn speak_http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static) {
        let asked = Arc::new(AtomicBool::new(false));
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).expect("64 KiB fit into a u32"))
            .serve_connection(TokioIo::new(stream), answer(self.app, self.peer, asked.clone()));
        // For HTTP/2 hyper has no timeout for the first request, so this is ours.
        let never_asked = async {
            tokio::time::sleep(HEAD_TIMEOUT).await;
            if asked.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = self.watcher.watch(connection) => {}
            () = never_asked => {}
        }
    }
}

/// The app as a service for hyper. Sets `asked` at the first request.
fn answer(
    app: Router,
    peer: SocketAddr,
    asked: Arc<AtomicBool>,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send + 'static> {
    service_fn(move |mut request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(ConnectInfo(peer));
        app.clone().oneshot(request.map(Body::new))
    })
}
