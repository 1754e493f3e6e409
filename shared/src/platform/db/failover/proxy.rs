//! A TCP proxy inside the process: accepts connections on a Unix socket and forwards their bytes to one server. Writes no
//! table.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// Pause between two tries to connect to a server that refuses connections because it restarts.
const PAUSE: Duration = Duration::from_millis(50);

/// A name in Linux's abstract namespace (its first byte is zero). Such a socket has no file, so nothing must be cleaned up
/// and no directory must be writable. Other processes on this machine can connect to it; they reach the server's own login,
/// which they could reach directly too.
pub fn unique_socket_name() -> PathBuf {
    format!("\0millrace-{}", Uuid::now_v7().simple()).into()
}

/// Starts a proxy to a server. Dropping the result stops it and closes all its connections.
///
/// `connect_timeout`: how long a client waits for the server; no longer than the pool waits for a connection.
pub fn start(name: &Path, host: &str, port: u16, connect_timeout: Duration) -> io::Result<JoinSet<()>> {
    // Clients of Postgres add this name to the directory of a Unix socket.
    let listener = UnixListener::bind(name.join(format!(".s.PGSQL.{port}")))?;
    let host = host.to_owned();
    let mut proxy = JoinSet::new();
    proxy.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((client, _)) => _ = connections.spawn(forward(client, host.clone(), port, connect_timeout)),
                    // Usually the process has no file descriptor left; one may be free in a moment.
                    Err(_) => sleep(PAUSE).await,
                },
            }
        }
    });
    Ok(proxy)
}

/// Forwards bytes between a client and the server until one of them closes.
async fn forward(mut client: UnixStream, host: String, port: u16, connect_timeout: Duration) {
    let connect = async {
        loop {
            match TcpStream::connect((host.as_str(), port)).await {
                Ok(server) => return server,
                Err(_) => sleep(PAUSE).await,
            }
        }
    };
    let Ok(mut server) = timeout(connect_timeout, connect).await else { return };
    // Both sides are dropped at the end, so the client always learns that the connection is gone.
    if server.set_nodelay(true).is_ok() {
        copy_bidirectional(&mut client, &mut server).await.ok();
    }
}
