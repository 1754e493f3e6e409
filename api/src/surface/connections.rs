//! Serves the API on connections that `shared::platform::http` takes, over TLS where the API has a certificate.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use shared::platform::http;
use shared::platform::http::connection::{AcceptedConnection, Talk};
use shared::platform::http::limits::Limits;
use shared::platform::http::places::Places;
use shared::platform::http::socket::Socket;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::surface::tls::Tls;

/// Serves until `stopping`, then lets the requests that run come to their end.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    places: Arc<Places>,
    limits: Limits,
    app: Router,
    stopping: CancellationToken,
) {
    let talk = |AcceptedConnection { socket, talk }| {
        let (tls, app) = (tls.clone(), app.clone());
        async move {
            match tls {
                None => speak(talk, socket, false, app).await,
                // Boxed, so that connections without TLS have no room for it.
                Some(tls) => _ = Box::pin(speak_tls(tls, socket, talk, app)).await,
            }
        }
    };
    http::serve(listener, places, limits, stopping, talk).await;
}

/// The handshake decides on the version of HTTP. None: it failed.
async fn speak_tls(tls: Arc<Tls>, socket: Socket, talk: Talk, app: Router) -> Option<()> {
    let handshake = tokio::time::timeout(talk.limits().handshake, tls.acceptor().accept(socket));
    let stream = match talk.stopping.run_until_cancelled(handshake).await? {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a handshake failed: {error}");
            return None;
        }
        Err(_elapsed) => return None,
    };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    speak(talk, stream, http2, app).await;
    Some(())
}

/// Answers with the app, which learns who the peer is.
async fn speak(talk: Talk, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, http2: bool, app: Router) {
    let peer = talk.peer();
    let answer = move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = app.clone().oneshot(request.map(Body::new));
        async move { answer.await.unwrap_or_else(|never| match never {}) }
    };
    // Boxed like TLS.
    if http2 { Box::pin(talk.http2(stream, answer)).await } else { talk.http1(stream, answer).await }
}
