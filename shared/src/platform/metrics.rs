//! Short ways to make and register Prometheus metrics, the gauges of a connection pool, and values that are read from
//! the database seldom. Writes no table.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use sqlx::PgPool;

pub fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    registered(registry, IntCounter::new(name, help)?)
}

pub fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

pub fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    registered(registry, IntGauge::new(name, help)?)
}

pub fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

pub fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> prometheus::Result<C> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// The connections of this process to Postgres.
pub struct PoolMetrics {
    db: PgPool,
    connections: IntGaugeVec,
}

impl PoolMetrics {
    pub fn new(registry: &Registry, db: PgPool) -> prometheus::Result<Self> {
        let help = "Connections to Postgres that this process may hold";
        gauge(registry, "millrace_database_connections_max", help)?.set(db.options().get_max_connections().into());
        let help = "Connections to Postgres that this process holds";
        Ok(Self { db, connections: gauges(registry, "millrace_database_connections", help, &["state"])? })
    }

    /// Sets the gauges to the present state of the pool.
    pub fn update(&self) {
        let (size, idle) = (i64::from(self.db.size()), i64::try_from(self.db.num_idle()).unwrap_or(i64::MAX));
        self.connections.with_label_values(&["idle"]).set(idle);
        self.connections.with_label_values(&["in_use"]).set((size - idle).max(0));
    }
}

/// A value is at least this old before it is read again, however cheap the query is.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(2);

/// A value from the database that is read again when it is out of date. Expensive queries run less often than cheap ones.
pub struct Cached<T> {
    /// A value is up to date for this many times the duration of its query.
    cost_factor: u32,
    /// The value, and when it goes out of date.
    value: Mutex<(Option<Arc<T>>, Instant)>,
    refreshing: tokio::sync::Mutex<()>,
}

impl<T> Cached<T> {
    pub fn new(cost_factor: u32) -> Self {
        Self { cost_factor, value: Mutex::new((None, Instant::now())), refreshing: tokio::sync::Mutex::new(()) }
    }

    pub fn is_out_of_date(&self, now: Instant) -> bool {
        self.value.lock().expect("no code panics while it holds this lock").1 <= now
    }

    pub fn value(&self) -> Option<Arc<T>> {
        self.value.lock().expect("no code panics while it holds this lock").0.clone()
    }

    /// Runs the query, unless another task has just done so. If it fails there is no value: an old one would mislead.
    pub async fn refresh<E: Error, F: Future<Output = Result<T, E>>>(&self, query: impl FnOnce() -> F) {
        let _one_at_a_time = self.refreshing.lock().await;
        let started = Instant::now();
        if !self.is_out_of_date(started) {
            return;
        }
        let value = query().await;
        if let Err(error) = &value {
            tracing::warn!(%error, "the gauges cannot be read: {error}");
        }
        let until = Instant::now() + (started.elapsed() * self.cost_factor).max(MIN_REFRESH_INTERVAL);
        *self.value.lock().expect("no code panics while it holds this lock") = (value.ok().map(Arc::new), until);
    }
}
