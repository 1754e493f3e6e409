//! Connections: TLS with certificates that change, HTTP/2, and the patience that clients meet.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use uuid::Uuid;

use crate::process::{Process, binary, enough};
use testkit::app::TestApp;
use testkit::database::new_database;
use testkit::person::Reply;
use testkit::until::until;

// ---- TLS -------------------------------------------------------------------------------------

#[tokio::test]
async fn it_speaks_http2_and_http1_over_tls_and_says_to_come_back_so() {
    let files = Files::new();
    files.write("first");
    let app = TestApp::with(&[&*files.option("tls-cert"), &*files.option("tls-key")]).await;
    let url = app.url.replace("http://", "https://");
    for (http1_only, version) in [(false, Version::HTTP_2), (true, Version::HTTP_11)] {
        let client = files.trusting("first");
        let client = if http1_only { client.http1_only() } else { client };
        let request = client.build().unwrap().get(format!("{url}/health/live"));
        let reply = request.send().await.unwrap();
        assert_eq!((reply.status(), reply.version()), (StatusCode::OK, version));
        assert_eq!(reply.headers()["strict-transport-security"], "max-age=31536000");
    }
    let stranger = reqwest::Client::new().get(format!("{url}/health/live")).send().await;
    assert!(stranger.is_err(), "nobody vouches for this certificate");
    let plain = reqwest::Client::new().get(format!("{}/health/live", app.url)).send().await;
    assert!(plain.is_err(), "where TLS is spoken, nothing else is");
}

#[tokio::test]
async fn sighup_takes_a_new_certificate_and_keeps_the_old_one_where_the_new_is_bad() {
    let files = Files::new();
    files.write("first");
    let database = new_database().await;
    let (cert, key) = (files.path("tls-cert"), files.path("tls-key"));
    let mut settings = enough(&database);
    settings.extend([("TLS_CERT", cert.to_str().unwrap()), ("TLS_KEY", key.to_str().unwrap())]);
    let mut api = Process::start(&mut binary(&settings));
    let url = api.url().replace("http://", "https://");
    let answers = async |certificate: &str| {
        let client = files.trusting(certificate).build().unwrap();
        client.get(format!("{url}/health/live")).send().await.is_ok()
    };
    let kept = files.trusting("first").build().unwrap();
    assert_eq!(kept.get(format!("{url}/health/live")).send().await.unwrap().status(), StatusCode::OK);

    std::fs::write(&key, files.key_of("second")).unwrap(); // Not the key of the certificate.
    api.signal("HUP");
    api.line("the old one stays");
    assert!(answers("first").await);

    files.write("second");
    api.signal("HUP");
    api.line("reloaded the certificate");
    assert!(answers("second").await && !answers("first").await);
    let still = kept.get(format!("{url}/health/live")).send().await;
    assert!(still.is_ok(), "a connection that was there goes on with what it began with");

    api.signal("TERM");
    assert!(api.end().await.success());
}

#[test]
fn certificates_that_cannot_be_used_stop_the_start_with_a_sentence_that_names_them() {
    let files = Files::new();
    files.write("first");
    let (cert, key) = (files.path("tls-cert"), files.path("tls-key"));
    let other = files.dir.join("other");
    std::fs::write(&other, files.key_of("second")).unwrap();
    for (cert, key, why) in [
        (Path::new("/nowhere/cert.pem"), &*key, "TLS_CERT names /nowhere/cert.pem"),
        (&*cert, Path::new("/nowhere/key.pem"), "TLS_KEY names /nowhere/key.pem"),
        (&*key, &*key, "which holds no certificate"),
        (&*cert, &*cert, "TLS_KEY names"),
        (&*cert, &*other, "TLS_CERT and TLS_KEY do not belong together"),
    ] {
        let mut settings = enough("postgres://nobody@127.0.0.1:1/nothing");
        settings.extend([("TLS_CERT", cert.to_str().unwrap()), ("TLS_KEY", key.to_str().unwrap())]);
        let (started, printed) = crate::process::run(&mut binary(&settings));
        assert!(!started && printed.contains(why), "{why}: {printed}");
    }
}

/// Files for `TLS_CERT` and `TLS_KEY`, and certificates to put there.
pub struct Files {
    dir: PathBuf,
}

impl Files {
    pub fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("millrace-{}", Uuid::now_v7()));
        std::fs::create_dir(&dir).unwrap();
        for name in ["first", "second"] {
            let made = Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"])
                .args(["-subj", "/CN=millrace", "-addext", "subjectAltName=IP:127.0.0.1"])
                .args(["-addext", "basicConstraints=critical,CA:FALSE"])
                .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
                .current_dir(&dir)
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
        }
        Self { dir }
    }

    pub fn path(&self, setting: &str) -> PathBuf {
        self.dir.join(setting)
    }

    pub fn option(&self, setting: &str) -> String {
        format!("--{setting}={}", self.path(setting).display())
    }

    /// From now on this certificate and its key stand in the files of the settings.
    pub fn write(&self, name: &str) {
        std::fs::copy(self.dir.join(format!("{name}.pem")), self.path("tls-cert")).unwrap();
        std::fs::write(self.path("tls-key"), self.key_of(name)).unwrap();
    }

    fn key_of(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.join(format!("{name}.key"))).unwrap()
    }

    /// A client that believes this certificate and no other.
    fn trusting(&self, name: &str) -> reqwest::ClientBuilder {
        let pem = std::fs::read(self.dir.join(format!("{name}.pem"))).unwrap();
        let certificate = reqwest::Certificate::from_pem(&pem).unwrap();
        reqwest::Client::builder().tls_certs_only([certificate]).timeout(Duration::from_secs(30))
    }

    /// The same without HTTP: what comes after the handshake is for the test to say.
    pub async fn shake_hands(&self, name: &str, stream: TcpStream, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_file(self.dir.join(format!("{name}.pem"))).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(trusted)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = "127.0.0.1".try_into().unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

// ---- patience --------------------------------------------------------------------------------

#[tokio::test]
async fn a_client_that_does_not_say_what_it_wants_is_let_go() {
    let files = Files::new();
    files.write("first");
    let plain = TestApp::new().await;
    let secure = TestApp::with(&[&*files.option("tls-cert"), &*files.option("tls-key")]).await;
    let to = async |app: &TestApp| TcpStream::connect(app.url.strip_prefix("http://").unwrap()).await.unwrap();

    let (silent, mut slow, no_handshake) = (to(&plain).await, to(&plain).await, to(&secure).await);
    slow.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\nx-drip: ").await.unwrap();
    let silent_http2 = files.shake_hands("first", to(&secure).await, b"h2").await;
    let mut slow_http1 = files.shake_hands("first", to(&secure).await, b"http/1.1").await;
    slow_http1.write_all(b"GET /health/live HTTP/1.1\r\n").await.unwrap();
    let in_time = tokio::join!(
        is_let_go(silent),
        is_let_go(slow),
        is_let_go(no_handshake),
        is_let_go(silent_http2),
        is_let_go(slow_http1)
    );
    assert_eq!(in_time, (true, true, true, true, true));
    plain.anyone().get("/health/live").await.done(200);
}

async fn is_let_go(mut client: impl AsyncRead + Unpin) -> bool {
    const PATIENCE: Duration = Duration::from_secs(45); // More than the API's, and less than a test's.
    let mut said = Vec::new();
    tokio::time::timeout(PATIENCE, client.read_to_end(&mut said)).await.is_ok()
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_harms_nobody() {
    let app = TestApp::new().await;
    let address = app.url.strip_prefix("http://").unwrap();
    let endless = [&b"GET / HTTP/1.1\r\nx: "[..], &vec![b'x'; 256 * 1024]].concat();
    for (nonsense, status) in [
        (&b"hello\r\n\r\n"[..], "400"),
        (b"GET /health/live HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n", "400"),
        (b"POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n", "400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"), // TLS, where none is spoken.
        (&endless, "431"),
    ] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(nonsense).await.ok(); // It may be refused before it has said everything.
        let mut said = [0; 12];
        client.read_exact(&mut said).await.unwrap();
        assert_eq!(said[..], format!("HTTP/1.1 {status}").into_bytes()[..], "{}", String::from_utf8_lossy(&said));
    }
    app.anyone().get("/health/live").await.done(200);
}

#[tokio::test]
async fn one_connection_too_many_waits_until_another_ends() {
    let app = TestApp::with(&["--max-connections=2"]).await;
    let address = app.url.strip_prefix("http://").unwrap();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        clients.push(client);
    }
    for client in &mut clients[..2] {
        let mut said = [0; 12];
        client.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"HTTP/1.1 200");
    }
    let third = clients.pop().unwrap();
    assert!(third.try_read(&mut [0; 12]).is_err(), "there is no place for it");
    drop(clients);
    until("a place is free", async || third.try_read(&mut [0; 12]).is_ok_and(|read| read == 12)).await;
}

// ---- CORS ------------------------------------------------------------------------------------

#[tokio::test]
async fn pages_of_other_origins_may_call_only_where_the_settings_say_so() {
    let preflight = async |app: &TestApp, origin: &str| {
        let wanted = [("access-control-request-method", "POST"), ("access-control-request-headers", "idempotency-key")];
        let headers = [&[("origin", origin)], &wanted[..]].concat();
        app.anyone().send(Method::OPTIONS, "/v1/orders", None, &headers).await
    };
    let closed = TestApp::new().await;
    let reply = preflight(&closed, "https://shop.example").await;
    reply.refused(405, "method_not_allowed");
    assert_eq!(reply.header("access-control-allow-origin"), "");

    let open = TestApp::with(&["--cors-origins=https://shop.example, http://localhost:3000"]).await;
    for origin in ["https://shop.example", "http://localhost:3000"] {
        let reply = preflight(&open, origin).await.done(200);
        assert_eq!(reply.header("access-control-allow-origin"), origin);
        for header in ["authorization", "content-type", "idempotency-key", "if-match", "x-request-id"] {
            assert!(reply.header("access-control-allow-headers").contains(header), "{header}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            assert!(reply.header("access-control-allow-methods").contains(method), "{method}");
        }
        assert_eq!(reply.header("access-control-allow-credentials"), "");
        assert_ne!(reply.header("x-request-id"), "");

        // A page must also be able to read what is refused, and why.
        let refused = open.anyone().send(Method::GET, "/v1/orders", None, &[("origin", origin)]).await;
        refused.refused(401, "unauthenticated");
        assert_eq!(refused.header("access-control-allow-origin"), origin);
        for header in ["ratelimit-remaining", "etag", "location", "x-request-id", "idempotent-replayed", "retry-after"]
        {
            assert!(refused.header("access-control-expose-headers").contains(header), "{header}");
        }
    }
    for stranger in ["https://evil.example", "https://shop.example.evil.example", "null"] {
        assert_eq!(preflight(&open, stranger).await.header("access-control-allow-origin"), "", "{stranger}");
    }
    let any = TestApp::with(&["--cors-origins=*"]).await;
    assert_eq!(preflight(&any, "https://anybody.example").await.header("access-control-allow-origin"), "*");
    let reply = Reply::of(any.anyone().request(Method::GET, "/health/live")).await.done(200);
    assert_eq!(reply.header("access-control-allow-origin"), "*");
}
