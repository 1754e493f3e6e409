//! The load generator: a closed loop. Each connection sends its next request as soon as the last one is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::http::Connection;

/// A request that takes longer counts as an error.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Writes the next request. Each connection has its own random numbers.
pub type RequestWriter = Arc<dyn Fn(&mut Random, &mut Vec<u8>) + Send + Sync>;

/// The result of a load, without the warm-up.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Measured {
    pub answered: u64,
    /// Requests without an answer, or with another status than the expected one.
    pub errors: u64,
    pub seconds: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub longest_ms: f64,
}

impl Measured {
    #[expect(clippy::cast_precision_loss, reason = "no run answers 2^52 requests")]
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.seconds.max(f64::EPSILON) // Before anything is measured it is zero.
    }
}

#[derive(Clone)]
pub struct Load {
    pub addr: SocketAddr,
    pub connections: usize,
    pub expected: u16,
    pub ask: RequestWriter,
    /// Each request consumes a permit, so the sender of the permits sets the pace. None: as fast as the server answers.
    pub pace: Option<Arc<Semaphore>>,
}

impl Load {
    /// Keeps up the load for the warm-up and then for this time. Calls `look` at the beginning and the end of the time.
    /// If no request was answered, which happens on a busy machine, it repeats the measurement with twice the time.
    pub async fn run<T>(
        &self,
        warm_up: Duration,
        mut time: Duration,
        mut look: impl FnMut() -> Result<T>,
    ) -> Result<(Measured, T, T)> {
        loop {
            let from = Instant::now() + warm_up;
            let watching = async {
                tokio::time::sleep_until(from.into()).await;
                let before = look()?;
                tokio::time::sleep_until((from + time).into()).await;
                anyhow::Ok((before, look()?))
            };
            let (looks, measured) = self.during(from, watching).await?;
            let (before, after) = looks?;
            if measured.answered > 0 {
                return Ok((measured, before, after));
            }
            ensure!(measured.errors == 0 && time < TIMEOUT, "nothing was answered: {} errors", measured.errors);
            time *= 2;
        }
    }

    /// Keeps up the load until the work is done. The generator runs on one thread, so it takes at most one core.
    /// Answers before `from` are not counted.
    pub async fn during<T>(&self, from: Instant, work: impl Future<Output = T>) -> Result<(T, Measured)> {
        let stop = Arc::new(AtomicBool::new(false));
        let (load, stopped) = (self.clone(), stop.clone());
        let thread = std::thread::spawn(move || -> Result<(Vec<u32>, u64)> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(load.drive(from, stopped)))
        });
        let done = work.await;
        stop.store(true, Ordering::Relaxed);
        let seconds = from.elapsed().as_secs_f64();
        if let Some(pace) = &self.pace {
            pace.close();
        }
        let joined = tokio::task::spawn_blocking(move || thread.join()).await?;
        let (mut waits, errors) = joined.ok().context("the generator panicked")??;
        waits.sort_unstable();
        let quantile = |share: usize| waits.get(waits.len() * share / 100).map_or(0.0, |us| f64::from(*us) / 1000.0);
        let (p50_ms, p99_ms) = (quantile(50), quantile(99));
        let longest_ms = waits.last().map_or(0.0, |us| f64::from(*us) / 1000.0);
        Ok((done, Measured { answered: waits.len() as u64, errors, seconds, p50_ms, p99_ms, longest_ms }))
    }

    /// Gives permits for a fixed number of requests a second, until the work is done.
    pub async fn keep_pace<T>(&self, per_second: u16, work: impl Future<Output = T>) -> T {
        let mut pulse = tokio::time::interval(Duration::from_secs(1) / u32::from(per_second));
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = pulse.tick() => self.pace.as_ref().map_or((), |pace| pace.add_permits(1)),
            }
        }
    }

    async fn drive(self, from: Instant, stop: Arc<AtomicBool>) -> (Vec<u32>, u64) {
        let connections: Vec<_> = (0..self.connections)
            .map(|number| tokio::spawn(self.clone().send_until_stopped(Random::new(number), from, stop.clone())))
            .collect();
        let (mut waits, mut errors) = (Vec::new(), 0);
        for connection in connections {
            let (its_waits, its_errors) = connection.await.expect("a connection's task does not panic");
            waits.extend(its_waits);
            errors += its_errors;
        }
        (waits, errors)
    }

    /// The latencies in µs of the counted answers, and the number of all errors.
    async fn send_until_stopped(self, mut random: Random, from: Instant, stop: Arc<AtomicBool>) -> (Vec<u32>, u64) {
        let (mut waits, mut errors) = (Vec::new(), 0);
        let mut connection = None;
        let mut request = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            if let Some(pace) = &self.pace {
                let Ok(permit) = pace.acquire().await else { break };
                permit.forget();
            }
            request.clear();
            (self.ask)(&mut random, &mut request);
            let asked = Instant::now();
            let status = tokio::time::timeout(TIMEOUT, ask(&mut connection, self.addr, &request)).await;
            if !matches!(status, Ok(Ok(status)) if status == self.expected) {
                errors += 1;
                if !matches!(status, Ok(Ok(_))) {
                    connection = None;
                    // A server that is gone must not be asked in a busy loop.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            } else if Instant::now() >= from && !stop.load(Ordering::Relaxed) {
                waits.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
        }
        (waits, errors)
    }
}

async fn ask(connection: &mut Option<Connection>, addr: SocketAddr, request: &[u8]) -> std::io::Result<u16> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(Connection::open(addr).await?),
    };
    Ok(connection.ask(request).await?.status)
}

/// A random number generator with a fixed seed for each connection, so that each run sends the same requests.
pub struct Random(u64);

impl Random {
    pub fn new(seed: usize) -> Self {
        Self((seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % end as u64).expect("it is below a usize")
    }
}
