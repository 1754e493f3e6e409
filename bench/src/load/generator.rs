//! Closed loops: so many connections, each asking again as soon as it is answered, for a given time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::http::Connection;

/// An answer that takes longer is an error of its own: nothing that is measured here may.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is asked: writes the next request. The number is different for each.
pub type Ask = Arc<dyn Fn(&mut Random, &mut Vec<u8>) + Send + Sync>;

/// What came of a load, after the warm-up.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Measured {
    pub answered: u64,
    /// Other answers than the expected one, and none.
    pub errors: u64,
    pub seconds: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
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
    pub ask: Ask,
    /// Each request takes a permit for good: whoever gives them sets the pace. Without it, as fast as it goes.
    pub pace: Option<Arc<Semaphore>>,
}

impl Load {
    /// After the warm-up for this time; `look` is asked at its beginning and at its end, with the load on. Where that was
    /// too short for a single answer, as it may be on a busy machine, once more for longer.
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
            ensure!(measured.errors == 0 && time < PATIENCE, "nothing was answered: {} errors", measured.errors);
            time *= 2;
        }
    }

    /// Keeps the load on until the work is done, on one thread of its own: the generator takes at most one core.
    /// What is answered before `from` is not counted.
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
        Ok((done, Measured { answered: waits.len() as u64, errors, seconds, p50_ms, p99_ms }))
    }

    async fn drive(self, from: Instant, stop: Arc<AtomicBool>) -> (Vec<u32>, u64) {
        let connections: Vec<_> = (0..self.connections)
            .map(|number| tokio::spawn(self.clone().keep_asking(Random::new(number), from, stop.clone())))
            .collect();
        let (mut waits, mut errors) = (Vec::new(), 0);
        for connection in connections {
            let (its_waits, its_errors) = connection.await.expect("a connection's task does not panic");
            waits.extend(its_waits);
            errors += its_errors;
        }
        (waits, errors)
    }

    /// The waits in µs that ended in time, and what went wrong at any time.
    async fn keep_asking(self, mut random: Random, from: Instant, stop: Arc<AtomicBool>) -> (Vec<u32>, u64) {
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
            let status = tokio::time::timeout(PATIENCE, ask(&mut connection, self.addr, &request)).await;
            if !matches!(status, Ok(Ok(status)) if status == self.expected) {
                errors += 1;
                if !matches!(status, Ok(Ok(_))) {
                    connection = None;
                    tokio::time::sleep(Duration::from_millis(10)).await; // A server that is gone is not asked in a spin.
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

/// The same numbers in each run, others for each connection.
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
