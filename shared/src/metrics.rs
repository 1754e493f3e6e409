//! What both binaries tell a scraper: what this process did with jobs, and how the whole shop stands.
//! Writes no table. Labels are bounded: a kind, a queue, a status, never an id.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{
    HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder, histogram_opts,
};
use sqlx::PgPool;

use crate::audit;
use crate::error::Result;
use crate::ops::jobs::{self, QueueView};
use crate::orders::status::Status;
use crate::queue::LeasedJob;
use crate::queue::doorbell::Doorbell;

/// Everything that a process exports.
pub struct Metrics {
    pub jobs: JobMetrics,
    registry: Registry,
    pool: PoolMetrics,
    standing: Arc<ShopGauges>,
}

impl Metrics {
    pub fn new(db: PgPool, doorbell: &Doorbell) -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        registry.register(Box::new(doorbell.written().clone()))?;
        Ok(Self {
            jobs: JobMetrics::new(&registry)?,
            pool: PoolMetrics::new(&registry, db.clone())?,
            standing: Arc::new(ShopGauges::new(db)),
            registry,
        })
    }

    /// For what only one of the binaries counts.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The page for the scraper. It waits for the database only briefly, so a gauge may be as old as the last scrape.
    pub async fn text(&self) -> prometheus::Result<String> {
        let standing = self.standing.gauges().await?;
        self.pool.look();
        let mut families = self.registry.gather();
        families.extend(standing);
        TextEncoder::new().encode_to_string(&families)
    }
}

/// How an attempt ended, as `JobMetrics::ended` takes it.
pub mod outcome {
    pub const DONE: &str = "done";
    /// It failed and is tried again.
    pub const RETRIED: &str = "retried";
    /// It failed for good, or once too often.
    pub const DEAD: &str = "dead";
    /// Another attempt had taken over.
    pub const LEASE_LOST: &str = "lease_lost";
    /// Its end could not be written down.
    pub const UNSETTLED: &str = "unsettled";
}

/// What this process does with jobs. Cloning it clones handles.
#[derive(Clone)]
pub struct JobMetrics {
    processed: IntCounterVec,
    retried: IntCounter,
    dead: IntCounter,
    recovered: IntCounter,
    durations: HistogramVec,
    waits: HistogramVec,
}

impl JobMetrics {
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let durations = histogram_opts!(
            "millrace_job_duration_seconds",
            "Time that an attempt ran",
            vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]
        );
        let waits = histogram_opts!(
            "millrace_job_wait_seconds",
            "Time from when a job was due to when a worker claimed it",
            vec![0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0]
        );
        Ok(Self {
            processed: counters(
                registry,
                "millrace_jobs_processed_total",
                "Attempts that ended, by how they did",
                &["kind", "queue", "outcome"],
            )?,
            retried: counter(registry, "millrace_jobs_retried_total", "Attempts that failed and are made again")?,
            dead: counter(registry, "millrace_jobs_dead_total", "Jobs that were given up and wait for a person")?,
            recovered: counter(
                registry,
                "millrace_jobs_recovered_total",
                "Jobs taken back from workers that were lost",
            )?,
            durations: registered(registry, HistogramVec::new(durations, &["kind"])?)?,
            waits: registered(registry, HistogramVec::new(waits, &["queue"])?)?,
        })
    }

    /// A job is ours now. Its wait is measured over two clocks, so it may seem to be none.
    pub fn claimed(&self, job: &LeasedJob) {
        let wait = (Utc::now() - job.run_at).to_std().unwrap_or_default();
        self.waits.with_label_values(&[job.queue.name()]).observe(wait.as_secs_f64());
    }

    /// An attempt ended, in one of the ways of `outcome`.
    pub fn ended(&self, job: &LeasedJob, outcome: &'static str, elapsed: Duration) {
        self.processed.with_label_values(&[job.kind.as_str(), job.queue.name(), outcome]).inc();
        self.durations.with_label_values(&[job.kind.as_str()]).observe(elapsed.as_secs_f64());
        match outcome {
            outcome::RETRIED => self.retried.inc(),
            outcome::DEAD => self.dead.inc(),
            _ => {}
        }
    }

    /// So many jobs were taken back by the sweep.
    pub fn recovered(&self, jobs: usize) {
        self.recovered.inc_by(jobs as u64);
    }

    /// So many were given up by the sweep, without an attempt that ended here.
    pub fn buried(&self, jobs: usize) {
        self.dead.inc_by(jobs as u64);
    }
}

/// The connections of this process.
struct PoolMetrics {
    db: PgPool,
    connections: IntGaugeVec,
}

impl PoolMetrics {
    fn new(registry: &Registry, db: PgPool) -> prometheus::Result<Self> {
        let most =
            gauge(registry, "millrace_database_connections_max", "Connections to Postgres that this process may hold")?;
        most.set(db.options().get_max_connections().into());
        let help = "Connections to Postgres that this process holds";
        Ok(Self { db, connections: gauges(registry, "millrace_database_connections", help, &["state"])? })
    }

    fn look(&self) {
        let (size, idle) = (i64::from(self.db.size()), i64::try_from(self.db.num_idle()).unwrap_or(i64::MAX));
        self.connections.with_label_values(&["idle"]).set(idle);
        self.connections.with_label_values(&["in_use"]).set((size - idle).max(0));
    }
}

/// How the shop stands, by the database: the same in every process, and asked for seldom.
struct ShopGauges {
    db: PgPool,
    live: Cached<Live>,
    closed: Cached<Vec<Orders>>,
    stock: Cached<StockGauges>,
}

/// What changes quickly and is found by small indexes.
struct Live {
    queues: Vec<QueueView>,
    open: Vec<Orders>,
    held: i64,
    overdue: i64,
    workers: i64,
    ticks: Vec<(String, DateTime<Utc>)>,
    audit: Option<audit::Report>,
}

/// The orders in one state, and the money that stands in them.
struct Orders {
    status: String,
    currency: String,
    count: i64,
    money: i64,
    /// For how long the first of them has been in it; 0 where orders end, which is where they stay.
    oldest_seconds: i64,
}

/// What lies in the warehouses, and how much of it runs short.
struct StockGauges {
    on_hand: i64,
    reserved: i64,
    enough: i64,
    low: i64,
    out: i64,
}

/// However fast the answer comes, it is not asked for again sooner.
const BELIEVED: Duration = Duration::from_secs(2);
/// A scrape waits so long for a new answer; then it shows the last one, and the new one is there for the next scrape.
const SCRAPE_PATIENCE: Duration = Duration::from_millis(10);
/// A scrape that would have nothing to show, or only what has long been out of date, waits longer.
const FIRST_PATIENCE: Duration = Duration::from_millis(800);
const LONG_OUT_OF_DATE: Duration = Duration::from_mins(1);
/// What takes the longest: reading every order that is over.
const CLOSED_TIMEOUT: &str = "60s";

impl ShopGauges {
    /// Asking takes at most a twentieth of a connection's time, and a hundredth where it grows with history.
    fn new(db: PgPool) -> Self {
        Self { db, live: Cached::new(20), closed: Cached::new(100), stock: Cached::new(100) }
    }

    async fn gauges(self: &Arc<Self>) -> prometheus::Result<Vec<MetricFamily>> {
        let now = Instant::now();
        if self.live.is_stale(now) || self.closed.is_stale(now) || self.stock.is_stale(now) {
            let asking = tokio::spawn(self.clone().ask());
            let of_use = self.live.known().is_some()
                && now.checked_sub(LONG_OUT_OF_DATE).is_some_and(|earlier| !self.live.is_stale(earlier));
            let patience = if of_use { SCRAPE_PATIENCE } else { FIRST_PATIENCE };
            drop(tokio::time::timeout(patience, asking).await);
        }
        let registry = Registry::new();
        let (live, closed) = (self.live.known(), self.closed.known());
        if let Some(live) = &live {
            show(&registry, live)?;
        }
        if let Some(stock) = self.stock.known() {
            show_stock(&registry, &stock)?;
        }
        let open = live.iter().flat_map(|live| &live.open);
        let over = closed.iter().flat_map(|orders| orders.iter());
        let known = |status: Status| if status.is_final() { closed.is_some() } else { live.is_some() };
        show_orders(&registry, Status::ALL.into_iter().filter(|status| known(*status)), open.chain(over))?;
        Ok(registry.gather())
    }

    async fn ask(self: Arc<Self>) {
        tokio::join!(
            self.live.ask(|| live(&self.db)),
            self.closed.ask(|| closed(&self.db)),
            self.stock.ask(|| stock(&self.db)),
        );
    }
}

/// An answer of the database, believed for a while.
struct Cached<T> {
    /// How many times longer than the asking took: what is dear is asked for less often.
    patience: u32,
    known: Mutex<(Option<Arc<T>>, Instant)>,
    asking: tokio::sync::Mutex<()>,
}

impl<T> Cached<T> {
    fn new(patience: u32) -> Self {
        Self { patience, known: Mutex::new((None, Instant::now())), asking: tokio::sync::Mutex::new(()) }
    }

    fn is_stale(&self, now: Instant) -> bool {
        self.known.lock().expect("nothing panics while it holds this").1 <= now
    }

    fn known(&self) -> Option<Arc<T>> {
        self.known.lock().expect("nothing panics while it holds this").0.clone()
    }

    /// Asks again, unless somebody else just has. Without an answer nothing is known: an old one would tell a lie.
    async fn ask<F: Future<Output = Result<T>>>(&self, question: impl FnOnce() -> F) {
        let _alone = self.asking.lock().await;
        let asked = Instant::now();
        if !self.is_stale(asked) {
            return;
        }
        let answer = question().await;
        if let Err(error) = &answer {
            tracing::warn!(%error, "the gauges cannot be read: {error}");
        }
        let until = Instant::now() + (asked.elapsed() * self.patience).max(BELIEVED);
        *self.known.lock().expect("nothing panics while it holds this") = (answer.ok().map(Arc::new), until);
    }
}

async fn live(db: &PgPool) -> Result<Live> {
    let mut conn = db.acquire().await?;
    let open = sqlx::query_as!(
        Orders,
        r#"select status, currency, count(*) as "count!", sum(total_minor)::bigint as "money!",
                  greatest(extract(epoch from now() - min(updated_at)), 0)::bigint as "oldest_seconds!" from orders
            where status = any($1) group by 1, 2"#,
        &Status::names(|status| !status.is_final()) as &[&str],
    )
    .fetch_all(&mut *conn)
    .await?;
    let reservations = sqlx::query!(
        r#"select count(*) as "held!", count(*) filter (where expires_at <= now()) as "overdue!"
             from reservations where state = 'held'"#
    )
    .fetch_one(&mut *conn)
    .await?;
    let ticks = sqlx::query!("select name, last_success_at from clockwork").fetch_all(&mut *conn).await?;
    Ok(Live {
        queues: jobs::queues(&mut conn).await?,
        open,
        held: reservations.held,
        overdue: reservations.overdue,
        workers: jobs::count_workers(&mut conn).await?,
        ticks: ticks.into_iter().map(|tick| (tick.name, tick.last_success_at)).collect(),
        audit: audit::last(&mut conn).await?,
    })
}

/// What is over grows with history. No index serves this question, and none should have to.
async fn closed(db: &PgPool) -> Result<Vec<Orders>> {
    let mut tx = db.begin().await?;
    sqlx::query_scalar!("select set_config('statement_timeout', $1, true)", CLOSED_TIMEOUT).fetch_one(&mut *tx).await?;
    let closed = sqlx::query_as!(
        Orders,
        r#"select status, currency, count(*) as "count!", sum(total_minor)::bigint as "money!",
                  0::bigint as "oldest_seconds!" from orders
            where status = any($1) group by 1, 2"#,
        &Status::names(Status::is_final) as &[&str],
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.rollback().await?;
    Ok(closed)
}

/// Reads every row once: there are as many as products and warehouses make, and history adds none.
async fn stock(db: &PgPool) -> Result<StockGauges> {
    Ok(sqlx::query_as!(
        StockGauges,
        r#"select coalesce(sum(on_hand), 0)::bigint as "on_hand!", coalesce(sum(reserved), 0)::bigint as "reserved!",
                  count(*) filter (where shortfall is null) as "enough!",
                  count(*) filter (where shortfall is not null and on_hand > reserved) as "low!",
                  count(*) filter (where shortfall is not null and on_hand = reserved) as "out!"
             from inventory"#
    )
    .fetch_one(db)
    .await?)
}

fn show(registry: &Registry, live: &Live) -> prometheus::Result<()> {
    let of_queue = |name: &str, help: &str| gauges(registry, &format!("millrace_queue_{name}"), help, &["queue"]);
    let ready = of_queue("ready", "Jobs that are due and wait for a worker")?;
    let oldest = of_queue("oldest_ready_seconds", "For how long the first of those has been due; 0 for none")?;
    let scheduled = of_queue("scheduled", "Jobs that are due later")?;
    let running = of_queue("running", "Jobs that a worker holds")?;
    let dead = of_queue("dead", "Jobs that were given up and wait for a person")?;
    let paused = of_queue("paused", "1 while nobody may take from the queue")?;
    for queue in &live.queues {
        let name = [queue.name.name()];
        ready.with_label_values(&name).set(queue.ready);
        oldest.with_label_values(&name).set(queue.oldest_ready_seconds);
        scheduled.with_label_values(&name).set(queue.scheduled);
        running.with_label_values(&name).set(queue.running);
        dead.with_label_values(&name).set(queue.dead);
        paused.with_label_values(&name).set(queue.paused.into());
    }
    gauge(registry, "millrace_reservations_held", "Reservations that wait to be paid or shipped")?.set(live.held);
    gauge(registry, "millrace_reservations_overdue", "Of those, the ones whose time is over")?.set(live.overdue);
    gauge(registry, "millrace_workers", "Workers that live")?.set(live.workers);
    let help = "When that which runs by the clock last succeeded";
    let ticks = gauges(registry, "millrace_cron_last_success_timestamp_seconds", help, &["name"])?;
    for (name, at) in &live.ticks {
        ticks.with_label_values(&[name.as_str()]).set(at.timestamp());
    }
    let Some(audit) = &live.audit else { return Ok(()) };
    let help = "When the integrity audit last ran";
    gauge(registry, "millrace_audit_last_run_timestamp_seconds", help)?.set(audit.ran_at.timestamp());
    let help = "How much the last audit saw to break an invariant";
    let violations = gauges(registry, "millrace_audit_violations", help, &["invariant"])?;
    for finding in &audit.invariants {
        violations.with_label_values(&[finding.name.as_str()]).set(finding.violations);
    }
    Ok(())
}

fn show_orders<'a>(
    registry: &Registry,
    statuses: impl Iterator<Item = Status>,
    orders: impl Iterator<Item = &'a Orders>,
) -> prometheus::Result<()> {
    let counts = gauges(registry, "millrace_orders", "Orders, by their status", &["status"])?;
    let help = "The totals of the orders in a status, in minor units of their currency";
    let money = gauges(registry, "millrace_orders_value_minor_units", help, &["status", "currency"])?;
    let help = "For how long the first order in an open status has been in it; 0 for none";
    let oldest = gauges(registry, "millrace_orders_oldest_seconds", help, &["status"])?;
    for status in statuses {
        counts.with_label_values(&[status.name()]).set(0);
        if !status.is_final() {
            oldest.with_label_values(&[status.name()]).set(0);
        }
    }
    for row in orders {
        counts.with_label_values(&[row.status.as_str()]).add(row.count);
        if row.oldest_seconds > 0 {
            let oldest = oldest.with_label_values(&[row.status.as_str()]);
            oldest.set(oldest.get().max(row.oldest_seconds));
        }
        money.with_label_values(&[row.status.as_str(), row.currency.as_str()]).set(row.money);
    }
    Ok(())
}

fn show_stock(registry: &Registry, stock: &StockGauges) -> prometheus::Result<()> {
    let units = gauges(registry, "millrace_stock_units", "Units in all warehouses", &["state"])?;
    units.with_label_values(&["on_hand"]).set(stock.on_hand);
    units.with_label_values(&["reserved"]).set(stock.reserved);
    let help = "Products by warehouse: enough, at or under their reorder level, or with nothing to sell";
    let rows = gauges(registry, "millrace_stock_rows", help, &["level"])?;
    for (level, count) in [("enough", stock.enough), ("low", stock.low), ("out", stock.out)] {
        rows.with_label_values(&[level]).set(count);
    }
    Ok(())
}

pub(crate) fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    registered(registry, IntCounter::new(name, help)?)
}

pub(crate) fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    registered(registry, IntGauge::new(name, help)?)
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> prometheus::Result<C> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
