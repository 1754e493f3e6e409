//! The certificate that the API shows, for those without a proxy in front of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use anyhow::{Context, ensure};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The files of `TLS_CERT` and `TLS_KEY`, and what they held when they were last read well.
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

    /// For the next connection. Those that are there keep what they began with.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.read.read().expect("no code panics while it holds the certificate").clone().into()
    }

    /// From now on each SIGHUP has the files read anew. To be called before the process says that it is there:
    /// without this, the signal would end it.
    pub fn reread_when_asked(self: Arc<Self>) {
        let mut asked = signal(SignalKind::hangup()).expect("the runtime handles signals");
        tokio::spawn(async move {
            while asked.recv().await.is_some() {
                self.reread();
            }
        });
    }

    /// Where the new files cannot be used, the old ones stay: an API with yesterday's certificate is better than none.
    fn reread(&self) {
        match read(&self.cert, &self.key) {
            Ok(new) => {
                *self.read.write().expect("no code panics while it holds the certificate") = Arc::new(new);
                tracing::info!("read the certificate anew");
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
    // The provider by name: what else is linked could bring another one, and then there is no default.
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS_CERT: the provider knows no version of TLS")?
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .context("TLS_CERT and TLS_KEY do not belong together")?;
    config.alpn_protocols = [&b"h2"[..], b"http/1.1"].map(<[u8]>::to_vec).to_vec();
    Ok(config)
}
