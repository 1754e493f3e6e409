//! Speaks HTTP/1.1 or HTTP/2 on one connection until the peer closes it, a limit passes or the process stops.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::answer::{Exchange, Streams};
use super::limits::Limits;
use super::places::Place;
use super::socket::Socket;
use super::state::ConnectionState;

/// The request line and all headers. Ours are tokens of 1 KiB; proxies add a few hundred bytes each.
const MAX_HEAD_BYTES: u32 = 64 * 1024;

/// Requests at once on one connection of HTTP/2. A browser seldom has more, and one connection must not be worth
/// hundreds. Over HTTP/1.1 there is one at a time.
const MAX_STREAMS: u32 = 32;

/// What a peer may send of request bodies before their handlers read it: per stream, and per connection.
const RECEIVE_WINDOW: u32 = 256 * 1024;
const CONNECTION_RECEIVE_WINDOW: u32 = 512 * 1024;

/// How often a silent HTTP/2 peer is asked whether it is still there, and how long it may take to answer.
const PING_EVERY: Duration = Duration::from_secs(20);

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A connection that was accepted and has a place.
pub struct AcceptedConnection {
    /// To be wrapped in TLS, or spoken on as it is.
    pub socket: Socket,
    pub talk: Talk,
}

impl AcceptedConnection {
    pub(super) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
        limits: Limits,
        stopping: CancellationToken,
    ) -> Self {
        let state = Arc::new(ConnectionState { place, peer, limits, activity: Activity::new() });
        Self { socket: Socket::new(stream, state.clone()), talk: Talk { state, stopping } }
    }
}

/// Speaks HTTP on a connection. Using it consumes it, because a connection is spoken on once.
pub struct Talk {
    state: Arc<ConnectionState>,
    pub stopping: CancellationToken,
}

impl Talk {
    pub fn peer(&self) -> SocketAddr {
        self.state.peer
    }

    pub fn limits(&self) -> &Limits {
        &self.state.limits
    }

    /// An error is the client's fault: it closed the connection, or it does not speak HTTP (hyper then answers 400).
    pub async fn http1<A, B, F>(self, io: impl AsyncRead + AsyncWrite + Unpin + 'static, app: A)
    where
        A: Fn(Request<Incoming>) -> F,
        B: Body<Data = Bytes, Error: Into<Cause>> + Unpin + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
    {
        let state = self.state.clone();
        let service = service_fn(move |mut request| {
            let exchange = Exchange::begin(&state, &mut request);
            exchange.answer(app(request))
        });
        let connection = http1::Builder::new()
            .header_read_timeout(None) // `Activity` has it, and tells a slow head from an idle connection.
            .max_buf_size(MAX_HEAD_BYTES as usize)
            .serve_connection(TokioIo::new(io), service);
        self.drive(connection).await;
    }

    pub async fn http2<A, B, F>(self, io: impl AsyncRead + AsyncWrite + Unpin + 'static, app: A)
    where
        A: Fn(Request<Incoming>) -> F,
        B: Body<Data = Bytes, Error: Into<Cause>> + Unpin + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
    {
        self.state.activity.multiplexed();
        let state = self.state.clone();
        let service = service_fn(move |mut request| {
            let exchange = Exchange::begin(&state, &mut request);
            exchange.answer(app(request))
        });
        let connection = http2::Builder::new(Streams(self.state.clone()))
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD_BYTES)
            .initial_stream_window_size(RECEIVE_WINDOW)
            .initial_connection_window_size(CONNECTION_RECEIVE_WINDOW)
            .serve_connection(TokioIo::new(io), service);
        self.drive(connection).await;
    }

    async fn drive(self, connection: impl GracefulConnection) {
        let mut connection = pin!(connection);
        let activity = &self.state.activity;
        let reason = tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            reason = activity.overdue(&self.state.limits) => Some(reason),
            () = self.stopping.cancelled() => None,
        };
        if let Some(reason) = reason {
            self.state.count(reason);
            if !reason.is_graceful() {
                return;
            }
        }
        connection.as_mut().graceful_shutdown();
        activity.close();
        tokio::select! {
            biased;
            _ = connection => {}
            _ = activity.overdue(&self.state.limits) => {}
        }
    }
}
