//! The attackers. Their number, their rate and their time are bounded, and their connections leave only this machine's
//! loopback network.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::Bytes;
use axum::http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::tls::Target;
use crate::load::http::Connection;

/// All are there after this time. Clients that all come in the same second would measure TLS handshakes.
const RAMP: Duration = Duration::from_secs(20);

/// How long an attacker waits before it comes again after the API has closed its connection.
const PAUSE: Duration = Duration::from_secs(1);

/// How often a slow client reads or sends a little.
const DRIP: Duration = Duration::from_secs(1);

/// How often each connection of the flood asks: 1,000 requests a second from all of them together.
const FLOOD: Duration = Duration::from_millis(16);

/// What slow readers ask for: files and lists that are larger than what the kernel buffers.
const LARGE: [&str; 3] = ["/docs/swagger-ui-bundle.js", "/openapi.json", "/v1/products?limit=500"];

#[derive(Debug, Clone, Copy)]
pub enum Kind {
    SlowReaders,
    IdleHttp2,
    SlowSenders,
    Flood,
}

pub const KINDS: [Kind; 4] = [Kind::SlowReaders, Kind::IdleHttp2, Kind::SlowSenders, Kind::Flood];

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::SlowReaders => "slow readers",
            Self::IdleHttp2 => "idle HTTP/2 connections",
            Self::SlowSenders => "slow senders",
            Self::Flood => "connections that flood /docs",
        }
    }

    pub fn count(self) -> usize {
        match self {
            Self::SlowReaders | Self::IdleHttp2 => 500,
            Self::SlowSenders => 200,
            Self::Flood => 16,
        }
    }

    /// Each kind has four addresses of its own, so that the rate limit of one does not help against another.
    fn address(self, number: usize) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, 1, self as u8 * 4 + 1 + u8::try_from(number % 4).expect("it is below 4"))
    }
}

/// What came of one kind.
#[derive(Debug, Default)]
pub struct Came {
    /// Connections that were opened, TLS handshake included.
    pub opened: AtomicU64,
    /// Connections that the API closed, and handshakes that it refused.
    pub ended: AtomicU64,
    /// Answers of the flood: 200, and others.
    pub served: AtomicU64,
    pub refused: AtomicU64,
}

/// An attack that goes on until it is stopped, on a thread of its own, so that it takes at most one core.
pub struct Attack {
    pub came: Arc<[Came; 4]>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<()>>,
}

impl Attack {
    pub fn start(target: &Target) -> Self {
        let (stop, stopped) = oneshot::channel();
        let came: Arc<[Came; 4]> = Arc::default();
        let attack = (target.clone(), came.clone());
        let thread = std::thread::spawn(move || {
            let (target, came) = attack;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                for kind in KINDS {
                    for number in 0..kind.count() {
                        let attacker = Attacker { kind, number, target: target.clone(), came: came.clone() };
                        tokio::spawn(attacker.attack());
                    }
                }
                stopped.await.ok();
            });
            Ok(()) // The runtime drops all attackers.
        });
        Self { came, stop, thread }
    }

    pub async fn stop(self) -> Result<Arc<[Came; 4]>> {
        self.stop.send(()).ok();
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await?;
        joined.ok().context("the attack panicked")??;
        Ok(self.came)
    }
}

struct Attacker {
    kind: Kind,
    number: usize,
    target: Target,
    came: Arc<[Came; 4]>,
}

impl Attacker {
    /// Comes again and again.
    async fn attack(self) {
        let number = u32::try_from(self.number).expect("they are few");
        sleep(RAMP * number / u32::try_from(self.kind.count()).expect("they are few")).await;
        loop {
            // An error is what an attack ends with.
            match self.kind {
                Kind::SlowReaders => self.read_slowly().await.ok(),
                Kind::IdleHttp2 => self.idle().await.ok(),
                Kind::SlowSenders => self.send_slowly().await.ok(),
                Kind::Flood => self.flood().await.ok(),
            };
            self.came().ended.fetch_add(1, Ordering::Relaxed);
            sleep(PAUSE).await;
        }
    }

    fn came(&self) -> &Came {
        &self.came[self.kind as usize]
    }

    fn opened(&self) {
        self.came().opened.fetch_add(1, Ordering::Relaxed);
    }

    fn address(&self) -> Ipv4Addr {
        self.kind.address(self.number)
    }

    /// Asks for four large answers, and reads a little of them each second.
    async fn read_slowly(&self) -> io::Result<()> {
        let mut stream = self.target.http1_with_a_small_buffer(self.address()).await?;
        self.opened();
        let path = LARGE[self.number % LARGE.len()];
        let request = format!("GET {path} HTTP/1.1\r\nhost: soak\r\naccept-encoding: gzip\r\n\r\n");
        stream.write_all(request.repeat(4).as_bytes()).await?;
        let mut piece = [0; 256];
        let mut pulse = interval(DRIP);
        loop {
            pulse.tick().await;
            if stream.read(&mut piece).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Asks once, and from then on only answers pings.
    async fn idle(&self) -> io::Result<()> {
        let stream = self.target.http2(self.address()).await?;
        self.opened();
        let (requests, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
        let once = async {
            let mut requests = requests.ready().await?;
            let live = Request::get("https://127.0.0.1/health/live").body(()).expect("it is a request");
            let (answer, _) = requests.send_request(live, true)?;
            answer.await?;
            std::future::pending::<()>().await; // It holds `requests`, without which the connection would close.
            Ok::<_, h2::Error>(requests)
        };
        tokio::select! {
            ended = connection => ended.map_err(io::Error::other),
            failed = once => failed.map(drop).map_err(io::Error::other),
        }
    }

    /// Sends a byte of a body each second, or of a head.
    async fn send_slowly(&self) -> io::Result<()> {
        let mut stream = self.target.http1(self.address()).await?;
        self.opened();
        let head = "POST /v1/auth/login HTTP/1.1\r\nhost: soak\r\ncontent-type: application/json\r\n";
        let rest = if self.number.is_multiple_of(2) { "content-length: 4096\r\n\r\n{" } else { "x: " };
        stream.write_all(format!("{head}{rest}").as_bytes()).await?;
        let mut pulse = interval(DRIP);
        loop {
            pulse.tick().await;
            stream.write_all(b"x").await?;
            stream.flush().await?;
        }
    }

    /// Reads what it asks for, and asks again at once.
    async fn flood(&self) -> io::Result<()> {
        let mut connection = Connection::on(self.target.http1(self.address()).await?);
        self.opened();
        let request = Bytes::from_static(
            b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: soak\r\naccept-encoding: gzip\r\n\r\n",
        );
        let mut pulse = interval(FLOOD);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pulse.tick().await;
            let came = self.came();
            match connection.ask(&request).await?.status {
                200 => came.served.fetch_add(1, Ordering::Relaxed),
                _ => came.refused.fetch_add(1, Ordering::Relaxed),
            };
        }
    }
}
