//! Takes HTTP connections and bounds what each may cost: how many there are, how long a peer may stay silent, and how
//! long it may leave an answer unread. The API, its metrics listener and the worker's listener use it. Writes no table.
//!
//! It speaks HTTP with hyper and knows no web framework: the caller gives a function from request to answer.

pub mod answer;
pub mod connection;
pub mod limits;
pub mod places;
pub mod socket;

mod activity;
mod state;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::AcceptedConnection;
use self::limits::Limits;
use self::places::Places;

/// How long we wait when no connection can be accepted, for example when no file descriptor is left.
const PAUSE: Duration = Duration::from_secs(1);

/// Accepts connections and lets `talk` speak on each, until `stopping` is cancelled. Then it waits until the requests
/// that run are answered.
pub async fn serve<T, F>(
    listener: TcpListener,
    places: Arc<Places>,
    limits: Limits,
    stopping: CancellationToken,
    talk: T,
) where
    T: Fn(AcceptedConnection) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let running = TaskTracker::new();
    let next = async || (places.free().await, accept(&listener).await);
    while let Some((free, (stream, peer))) = stopping.run_until_cancelled(next()).await {
        // A refused connection is closed without a word: it must cost us as little as possible.
        let Some(place) = places.assign(free, peer.ip()) else { continue };
        // Small answers must not wait for Nagle's algorithm.
        stream.set_nodelay(true).ok();
        running.spawn(talk(AcceptedConnection::new(stream, peer, place, limits, stopping.clone())));
    }
    drop(listener);
    running.close();
    running.wait().await;
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if ended_in_the_queue(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Did the peer close the connection before we accepted it?
fn ended_in_the_queue(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
