//! Bounds the connections of a process, and the share of them that one address may hold. The same shares bound the
//! requests in flight and the memory of answers that wait for their readers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Bytes;
use prometheus::{IntCounterVec, IntGauge, Registry, opts};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant};

/// What large answers of one process may hold while their readers take them: 128 lists of 500 products.
const ANSWER_MEMORY: usize = 32 * 1024 * 1024;

/// The part of it that one address may hold, so that four addresses are needed to use it up.
const ANSWER_MEMORY_PER_ADDRESS: usize = ANSWER_MEMORY / 4;

/// Answers up to this size are bounded by the number of requests in flight alone.
const SMALL_ANSWER: usize = 8 * 1024;

/// A client with few connections may still use all streams of several.
const LEAST_IN_FLIGHT: u32 = 256;

const KIB: usize = 1024;

/// The settings.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub connections: u32,
    pub per_address: u32,
}

/// For a listener that only scrapers and probes use.
pub const OPERATORS: Bounds = Bounds { connections: 128, per_address: 32 };

/// The places for connections of one listener.
pub struct Places {
    process: Share,
    per_address: u32,
    /// Is the share of an address not bounded? So it is for trusted proxies, which stand for many clients.
    exempt: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    addresses: Mutex<HashMap<IpAddr, Arc<Share>>>,
    /// Since when the accept loop has waited for a free place.
    full_since: Mutex<Option<Instant>>,
    pub(super) metrics: ConnectionMetrics,
}

/// What a process or an address may hold at once.
struct Share {
    connections: Arc<Semaphore>,
    in_flight: Arc<Semaphore>,
    memory_kib: Arc<Semaphore>,
}

impl Share {
    fn new(connections: u32, in_flight: u32, memory: usize) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(connections as usize)),
            in_flight: Arc::new(Semaphore::new(in_flight.max(LEAST_IN_FLIGHT) as usize)),
            memory_kib: Arc::new(Semaphore::new(memory / KIB)),
        }
    }
}

impl Places {
    pub fn new(
        bounds: Bounds,
        exempt: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
        metrics: ConnectionMetrics,
    ) -> Arc<Self> {
        metrics.max.set(bounds.connections.into());
        Arc::new(Self {
            process: Share::new(bounds.connections, bounds.connections, ANSWER_MEMORY),
            per_address: bounds.per_address,
            exempt: Box::new(exempt),
            addresses: Mutex::default(),
            full_since: Mutex::default(),
            metrics,
        })
    }

    /// How long no place has been free. None: there is one.
    pub fn full_for(&self) -> Option<Duration> {
        Some(lock(&self.full_since).as_ref()?.elapsed())
    }

    /// Waits for a free place.
    pub(super) async fn free(&self) -> OwnedSemaphorePermit {
        if let Ok(free) = self.process.connections.clone().try_acquire_owned() {
            return free;
        }
        *lock(&self.full_since) = Some(Instant::now());
        let free = self.process.connections.clone().acquire_owned().await.expect("it is never closed");
        *lock(&self.full_since) = None;
        free
    }

    /// None when the address holds its share already.
    pub(super) fn assign(self: &Arc<Self>, free: OwnedSemaphorePermit, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        let address = if (self.exempt)(peer) {
            None
        } else {
            let Some(address) = self.share_of(network_of(peer)) else {
                self.metrics.refused.with_label_values(&["address"]).inc();
                return None;
            };
            Some(address)
        };
        self.metrics.open.inc();
        Some(Place { places: self.clone(), address, _free: free })
    }

    fn share_of(&self, network: IpAddr) -> Option<AddressShare> {
        let mut addresses = lock(&self.addresses);
        let share = addresses.entry(network).or_insert_with(|| {
            Arc::new(Share::new(self.per_address, self.per_address.saturating_mul(2), ANSWER_MEMORY_PER_ADDRESS))
        });
        let connection = share.connections.clone().try_acquire_owned().ok()?;
        Some(AddressShare { network, share: share.clone(), _connection: connection })
    }
}

/// Any machine with IPv6 has a whole /64 of addresses.
fn network_of(peer: IpAddr) -> IpAddr {
    const NETWORK: u128 = u128::MAX << 64;
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & NETWORK).into()),
    }
}

/// The place of one connection. It is free again when this is dropped.
pub(super) struct Place {
    pub(super) places: Arc<Places>,
    address: Option<AddressShare>,
    _free: OwnedSemaphorePermit,
}

struct AddressShare {
    network: IpAddr,
    share: Arc<Share>,
    _connection: OwnedSemaphorePermit,
}

/// Gives back what it holds when it is dropped.
pub(super) struct Held {
    _process: OwnedSemaphorePermit,
    _address: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// One more request in flight, if the process and the address may have one.
    pub(super) fn enter(&self) -> Option<Held> {
        self.take(1, |share| &share.in_flight)
    }

    /// Bytes that count against the memory for answers until the last reference to them is gone, wherever a library
    /// buffers them. None when too many are held already.
    pub(super) fn hold(&self, bytes: Bytes) -> Option<Bytes> {
        if bytes.len() <= SMALL_ANSWER {
            return Some(bytes);
        }
        let kib = u32::try_from(bytes.len().div_ceil(KIB)).ok()?;
        let held = self.take(kib, |share| &share.memory_kib)?;
        Some(Bytes::from_owner(HeldBytes { bytes, _held: held }))
    }

    fn take(&self, permits: u32, of: impl Fn(&Share) -> &Arc<Semaphore>) -> Option<Held> {
        let take = |share: &Share| of(share).clone().try_acquire_many_owned(permits).ok();
        let address = match &self.address {
            None => None,
            Some(address) => Some(take(&address.share)?),
        };
        Some(Held { _process: take(&self.places.process)?, _address: address })
    }
}

struct HeldBytes {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.metrics.open.dec();
        let Some(AddressShare { network, share, .. }) = &self.address else { return };
        let mut addresses = lock(&self.places.addresses);
        // Ours and the map's are the only references left: this was the last connection of the address.
        if Arc::strong_count(share) == 2 {
            addresses.remove(network);
        }
    }
}

/// No code panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is counted about connections.
pub struct ConnectionMetrics {
    pub(super) open: IntGauge,
    pub(super) max: IntGauge,
    pub(super) refused: IntCounterVec,
    pub(super) ended: IntCounterVec,
}

impl ConnectionMetrics {
    /// `prefix` names the listener, as in `millrace_api`.
    pub fn new(prefix: &str) -> prometheus::Result<Self> {
        let reason = &["reason"];
        Ok(Self {
            open: IntGauge::new(format!("{prefix}_connections"), "Connections that are open")?,
            max: IntGauge::new(format!("{prefix}_connections_max"), "Connections that may be open at once")?,
            refused: IntCounterVec::new(
                opts!(
                    format!("{prefix}_connections_refused_total"),
                    "Connections closed as soon as they were accepted"
                ),
                reason,
            )?,
            ended: IntCounterVec::new(
                opts!(format!("{prefix}_connections_ended_total"), "Connections that we ended because of a limit"),
                reason,
            )?,
        })
    }

    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.open.clone()))?;
        registry.register(Box::new(self.max.clone()))?;
        registry.register(Box::new(self.refused.clone()))?;
        registry.register(Box::new(self.ended.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(connections: u32, per_address: u32) -> Arc<Places> {
        let metrics = ConnectionMetrics::new("test").unwrap();
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        Places::new(Bounds { connections, per_address }, move |address| address == proxy, metrics)
    }

    async fn connect(places: &Arc<Places>, address: &str) -> Option<Place> {
        let free = places.free().await;
        places.assign(free, address.parse().unwrap())
    }

    #[tokio::test]
    async fn an_address_has_its_share_and_gets_it_back() {
        let places = places(100, 2);
        for (addresses, admitted) in [
            (&["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"][..], &[true, true, false, true][..]),
            (&["::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"], &[true, true, false]),
            (
                &["2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:1::3", "2001:db8:0:2::1"],
                &[true, true, false, true],
            ),
            (&["10.0.0.1", "10.0.0.1", "10.0.0.1"], &[true, true, true]),
        ] {
            let mut held = Vec::new();
            for address in addresses {
                held.push(connect(&places, address).await);
            }
            assert_eq!(held.iter().map(Option::is_some).collect::<Vec<_>>(), admitted, "{addresses:?}");
            drop(held);
            assert_eq!(lock(&places.addresses).len(), 0, "addresses without a connection are forgotten");
            assert_eq!(places.metrics.open.get(), 0);
        }
    }

    #[tokio::test]
    async fn large_answers_count_until_their_last_bytes_are_gone() {
        let places = places(10, 10);
        let (one, same, other) = (
            connect(&places, "192.0.2.1").await.unwrap(),
            connect(&places, "192.0.2.1").await.unwrap(),
            connect(&places, "192.0.2.2").await.unwrap(),
        );
        let large = Bytes::from(vec![b'x'; ANSWER_MEMORY_PER_ADDRESS]);
        let mut first = one.hold(large.clone()).unwrap();
        assert!(same.hold(large.clone()).is_none(), "another connection of the address holds it all");
        assert!(same.hold(Bytes::from_static(b"{}")).is_some(), "small answers do not count");
        assert!(other.hold(large.clone()).is_some(), "another address has its own share");
        let rest = first.split_off(1);
        drop(first);
        assert!(same.hold(large.clone()).is_none(), "a part of it is still there");
        drop(rest);
        assert!(same.hold(large).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn it_says_how_long_no_place_has_been_free() {
        let places = places(1, 1);
        let only = connect(&places, "192.0.2.1").await;
        assert_eq!(places.full_for(), None, "nobody has waited yet");
        let waiting = tokio::spawn({
            let places = places.clone();
            async move { places.free().await }
        });
        tokio::time::advance(Duration::from_secs(7)).await;
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(places.full_for(), Some(Duration::from_secs(7)));
        drop(only);
        drop(waiting.await.unwrap());
        assert_eq!(places.full_for(), None);
    }
}
