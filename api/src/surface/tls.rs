//! TLS in the API itself, for installations without a proxy in front of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use anyhow::{Context, ensure};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The files of `TLS_CERT` and `TLS_KEY`, and the configuration from when they were last read without an error.
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    read: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    pub fn load(cert: &Path, key: &Path) -> anyhow::Result<Self> {
        let read = RwLock::new(Arc::new(read(cert, key)?));
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), read })
    }

    /// For the next connection. Open connections keep the certificate they began with.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.read.read().expect("no code panics while it holds the certificate").clone().into()
    }

    /// From now on each SIGHUP reloads the files. Call this before the process reports that it is ready: until then the
    /// signal would end it.
    pub fn reread_when_asked(self: Arc<Self>) {
        let mut asked = signal(SignalKind::hangup()).expect("the runtime handles signals");
        tokio::spawn(async move {
            while asked.recv().await.is_some() {
                self.reread();
            }
        });
    }

    /// If the new files cannot be used, the old certificate stays: better an old one than no API.
    fn reread(&self) {
        match read(&self.cert, &self.key) {
            Ok(new) => {
                *self.read.write().expect("no code panics while it holds the certificate") = Arc::new(new);
                tracing::info!("reloaded the certificate");
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "the new certificate cannot be used, so the old one stays: {error}");
            }
        }
    }
}

fn read(cert: &Path, key: &Path) -> anyhow::Result<ServerConfig> {
    let unreadable = |setting, path: &Path| format!("{setting} names {}, which cannot be read as PEM", path.display());
    let certs = CertificateDer::pem_file_iter(cert).with_context(|| unreadable("TLS_CERT", cert))?;
    let certs: Vec<_> = certs.collect::<Result<_, _>>().with_context(|| unreadable("TLS_CERT", cert))?;
    ensure!(!certs.is_empty(), "TLS_CERT names {}, which holds no certificate", cert.display());
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| unreadable("TLS_KEY", key))?;
    // Name the provider: if another crate links a second one, rustls has no default and would panic.
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS_CERT: the provider knows no version of TLS")?
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .context("TLS_CERT and TLS_KEY do not belong together")?;
    config.alpn_protocols = [&b"h2"[..], b"http/1.1"].map(<[u8]>::to_vec).to_vec();
    Ok(config)
}
