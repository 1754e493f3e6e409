//! Connections: taken, bounded in number and in patience, and answered until the process is asked to stop.

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

/// A client that has not said what it wants by now holds a place that another could have (slowloris). It is also how
/// long an idle connection stays, so a proxy should let go of its own a little sooner.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Two round trips and some arithmetic: whoever needs longer does not mean it.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The request line and all headers. Ours are tokens of 1 KiB; proxies add a few hundred bytes each.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Requests side by side on one connection of HTTP/2. More than a browser asks for, and one connection must not be
/// worth a thousand.
const MAX_STREAMS: u32 = 128;

/// How often a silent HTTP/2 connection is asked whether anybody is still there, and how long for the answer.
const PING_EVERY: Duration = Duration::from_secs(20);

/// When connections cannot be taken, as when no file descriptor is left: others must end first.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves until `stopping`, then lets the requests that run come to their end.
pub async fn serve(listener: TcpListener, tls: Option<Arc<Tls>>, most: u32, app: Router, stopping: CancellationToken) {
    let places = Arc::new(Semaphore::new(most as usize));
    let running = GracefulShutdown::new();
    let next = async || {
        let place = places.clone().acquire_owned().await.expect("it is never closed");
        (place, take(&listener).await)
    };
    while let Some((place, (stream, peer))) = stopping.run_until_cancelled(next()).await {
        let connection = Connection { peer, app: app.clone(), watcher: running.watcher() };
        let (tls, stopping) = (tls.clone(), stopping.clone());
        tokio::spawn(async move {
            // Small answers are not to wait for company.
            stream.set_nodelay(true).ok();
            match tls {
                None => connection.speak_http1(stream).await,
                // Boxed, so that connections without it have no room for it.
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
                tracing::error!(%error, "no connection can be taken: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// It was gone before we came to it.
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
    /// Both sides agree on the version of HTTP in the handshake. None: they did not agree on anything.
    async fn speak_tls(self, stream: TcpStream, tls: &Tls, stopping: &CancellationToken) -> Option<()> {
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.acceptor().accept(stream));
        let stream = match stopping.run_until_cancelled(handshake).await? {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a handshake failed: {error}");
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

    /// Errors are the client's: it went, or it does not speak HTTP, and then hyper has answered 400.
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
            .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).expect("it is small"))
            .serve_connection(TokioIo::new(stream), answer(self.app, self.peer, asked.clone()));
        // Here hyper does not wait for a head with impatience of its own.
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

/// The app, as hyper wants to call it. Notes that somebody has `asked`.
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
