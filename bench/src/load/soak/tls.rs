//! Clients that speak TLS from any address of the loopback network, and the certificate of the API that they attack.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Files for `TLS_CERT` and `TLS_KEY`.
pub struct Certificate {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    /// Makes one for 127.0.0.1 that is valid for a day.
    pub async fn make(dir: &Path) -> Result<Self> {
        let (cert, key) = (dir.join("soak.pem"), dir.join("soak.key"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"])
            .args(["-subj", "/CN=millrace", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&cert)
            .output()
            .await
            .context("openssl; Debian has it in openssl")?;
        ensure!(made.status.success(), "openssl failed: {}", String::from_utf8_lossy(&made.stderr));
        Ok(Self { cert, key })
    }
}

/// The API, and how to reach it.
#[derive(Clone)]
pub struct Target {
    addr: SocketAddr,
    http1: TlsConnector,
    http2: TlsConnector,
}

impl Target {
    pub fn new(addr: SocketAddr, certificate: &Certificate) -> Result<Self> {
        let connector = |protocol| connector(&certificate.cert, protocol);
        Ok(Self { addr, http1: connector(b"http/1.1")?, http2: connector(b"h2")? })
    }

    pub async fn http1(&self, from: Ipv4Addr) -> io::Result<TlsStream<TcpStream>> {
        self.shake_hands(&self.http1, socket(from)?).await
    }

    /// A client whose kernel takes few bytes that the client itself has not read.
    pub async fn http1_with_a_small_buffer(&self, from: Ipv4Addr) -> io::Result<TlsStream<TcpStream>> {
        let socket = socket(from)?;
        socket.set_recv_buffer_size(8 * 1024)?;
        self.shake_hands(&self.http1, socket).await
    }

    pub async fn http2(&self, from: Ipv4Addr) -> io::Result<TlsStream<TcpStream>> {
        self.shake_hands(&self.http2, socket(from)?).await
    }

    async fn shake_hands(&self, connector: &TlsConnector, socket: TcpSocket) -> io::Result<TlsStream<TcpStream>> {
        let stream = socket.connect(self.addr).await?;
        stream.set_nodelay(true)?;
        connector.connect(self.addr.ip().into(), stream).await
    }
}

fn socket(from: Ipv4Addr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    Ok(socket)
}

fn connector(cert: &Path, protocol: &[u8]) -> Result<TlsConnector> {
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_file(cert)?)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
