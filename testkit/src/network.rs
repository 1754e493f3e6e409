//! A TCP proxy between a process and a server that simulates a slow or broken network, or leads to another server. That
//! affects all connections through it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFault {
    None,
    /// Each read takes this much longer.
    Slow(Duration),
    /// All connections are closed, also new ones.
    Cut,
    /// Connections stay open, and no bytes pass. They arrive when the fault ends.
    Silent,
}

/// A proxy that forwards bytes without reading them.
pub struct Link {
    pub addr: SocketAddr,
    fault: watch::Sender<NetworkFault>,
    upstream: watch::Sender<SocketAddr>,
}

impl Link {
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let (fault, seen) = watch::channel(NetworkFault::None);
        let (upstream, server) = watch::channel(upstream);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (seen, server) = (seen.clone(), server.clone());
                // When one side closes, both are closed.
                tokio::spawn(async move { drop(carry(client, server, seen).await) });
            }
        });
        Ok(Self { addr, fault, upstream })
    }

    pub fn set(&self, fault: NetworkFault) {
        self.fault.send_replace(fault);
    }

    /// From now on it leads to this server. Connections to the one before are closed, as a load balancer does.
    pub fn lead_to(&self, upstream: SocketAddr) {
        self.upstream.send_replace(upstream);
    }
}

async fn carry(
    client: TcpStream,
    mut upstream: watch::Receiver<SocketAddr>,
    mut fault: watch::Receiver<NetworkFault>,
) -> io::Result<()> {
    let addr = *upstream.borrow_and_update();
    let server = TcpStream::connect(addr).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    tokio::select! {
        end = pass(client_in, server_out, fault.clone()) => end,
        end = pass(server_in, client_out, fault.clone()) => end,
        _ = fault.wait_for(|now| *now == NetworkFault::Cut) => Ok(()),
        _ = upstream.changed() => Ok(()),
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut fault: watch::Receiver<NetworkFault>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let gone = |_| io::ErrorKind::ConnectionAborted;
        let now = *fault.wait_for(|now| *now != NetworkFault::Silent).await.map_err(gone)?;
        if let NetworkFault::Slow(time) = now {
            tokio::time::sleep(time).await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}
