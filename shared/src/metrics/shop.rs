//! Gauges about the whole shop: queues, orders, reservations, stock, the last audit. They come from the database, so every
//! process shows the same. Writes no table.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use prometheus::Registry;
use prometheus::proto::MetricFamily;
use sqlx::PgPool;

use crate::audit;
use crate::error::Result;
use crate::feed::sequencer;
use crate::identity::api_keys;
use crate::months;
use crate::ops::queues::{self, QueueView};
use crate::ops::workers;
use crate::orders::status::Status;
use crate::platform::metrics::{Cached, gauge, gauges};
use crate::webhooks::endpoints::{self, WebhookCounts};

/// The gauges, each group read by a query of its own.
pub struct ShopGauges {
    db: PgPool,
    live: Cached<Live>,
    closed: Cached<Vec<OrdersInStatus>>,
    stock: Cached<StockGauges>,
}

/// Values that change quickly and are found by small indexes.
struct Live {
    queues: Vec<QueueView>,
    open: Vec<OrdersInStatus>,
    held: i64,
    overdue: i64,
    workers: i64,
    ticks: Vec<(String, DateTime<Utc>)>,
    feed_lag_seconds: f64,
    audit: Option<audit::Report>,
    webhooks: WebhookCounts,
    expiring_keys: i64,
    history_until: DateTime<Utc>,
}

/// The orders in one status and currency.
struct OrdersInStatus {
    status: String,
    currency: String,
    count: i64,
    money: i64,
    /// For how long the oldest of them has been in this status; 0 in the final ones, where orders stay.
    oldest_seconds: i64,
}

/// The units in all warehouses, and how many rows of stock are short.
struct StockGauges {
    on_hand: i64,
    reserved: i64,
    enough: i64,
    low: i64,
    out: i64,
}

/// A scrape waits this long for new values. Then it shows the last ones, and the next scrape shows the new ones.
const SCRAPE_PATIENCE: Duration = Duration::from_millis(10);
/// A scrape that has no values yet, or only very old ones, waits longer.
const FIRST_PATIENCE: Duration = Duration::from_millis(800);
const VERY_OLD: Duration = Duration::from_mins(1);
/// Counting the closed orders reads all of them, which takes longer than the usual limit for a statement.
const CLOSED_TIMEOUT: &str = "60s";

impl ShopGauges {
    /// The queries use at most a twentieth of a connection's time; those that grow with history, a hundredth.
    pub fn new(db: PgPool) -> Self {
        Self { db, live: Cached::new(20), closed: Cached::new(100), stock: Cached::new(100) }
    }

    pub async fn gauges(self: &Arc<Self>) -> prometheus::Result<Vec<MetricFamily>> {
        let now = Instant::now();
        if self.live.is_out_of_date(now) || self.closed.is_out_of_date(now) || self.stock.is_out_of_date(now) {
            let refreshing = tokio::spawn(self.clone().refresh());
            let is_usable = self.live.value().is_some()
                && now.checked_sub(VERY_OLD).is_some_and(|earlier| !self.live.is_out_of_date(earlier));
            let patience = if is_usable { SCRAPE_PATIENCE } else { FIRST_PATIENCE };
            drop(tokio::time::timeout(patience, refreshing).await);
        }
        let registry = Registry::new();
        let (live, closed) = (self.live.value(), self.closed.value());
        if let Some(live) = &live {
            show_queues(&registry, &live.queues)?;
            show_counts(&registry, live)?;
            show_schedule(&registry, &live.ticks)?;
            show_feed(&registry, live.feed_lag_seconds)?;
            show_webhooks(&registry, &live.webhooks)?;
            if let Some(audit) = &live.audit {
                show_audit(&registry, audit)?;
            }
        }
        if let Some(stock) = self.stock.value() {
            show_stock(&registry, &stock)?;
        }
        let orders = live.iter().flat_map(|live| &live.open).chain(closed.iter().flat_map(|orders| orders.iter()));
        let known = |status: Status| if status.is_final() { closed.is_some() } else { live.is_some() };
        show_orders(&registry, Status::ALL.into_iter().filter(|status| known(*status)), orders)?;
        Ok(registry.gather())
    }

    async fn refresh(self: Arc<Self>) {
        tokio::join!(
            self.live.refresh(|| live(&self.db)),
            self.closed.refresh(|| closed(&self.db)),
            self.stock.refresh(|| stock(&self.db)),
        );
    }
}

async fn live(db: &PgPool) -> Result<Live> {
    let mut conn = db.acquire().await?;
    let open = sqlx::query_as!(
        OrdersInStatus,
        r#"select status, currency, count(*) as "count!", sum(total_minor)::bigint as "money!",
                  greatest(extract(epoch from now() - min(updated_at)), 0)::bigint as "oldest_seconds!" from orders
            where status = any($1) and stage = any($2) group by 1, 2"#,
        &Status::names(|status| !status.is_final()) as &[&str],
        &Status::stages(|status| !status.is_final()) as &[&str],
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
        queues: queues::list(&mut conn).await?,
        open,
        held: reservations.held,
        overdue: reservations.overdue,
        workers: workers::count(&mut conn).await?,
        ticks: ticks.into_iter().map(|tick| (tick.name, tick.last_success_at)).collect(),
        feed_lag_seconds: sequencer::lag(&mut conn).await?,
        audit: audit::last(&mut conn).await?,
        webhooks: endpoints::count(&mut conn).await?,
        expiring_keys: api_keys::count_expiring_in_use(&mut conn).await?,
        history_until: months::extended_until(&mut conn).await?,
    })
}

/// The number of closed orders grows without end, and no index serves this query: keeping one would slow down every order.
async fn closed(db: &PgPool) -> Result<Vec<OrdersInStatus>> {
    let mut tx = db.begin().await?;
    sqlx::query_scalar!("select set_config('statement_timeout', $1, true)", CLOSED_TIMEOUT).fetch_one(&mut *tx).await?;
    let closed = sqlx::query_as!(
        OrdersInStatus,
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

/// Reads every row of stock once. Their number depends on products and warehouses and does not grow with history.
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

fn show_queues(registry: &Registry, queues: &[QueueView]) -> prometheus::Result<()> {
    let of_queue = |name: &str, help: &str| gauges(registry, &format!("millrace_queue_{name}"), help, &["queue"]);
    let ready = of_queue("ready", "Jobs that are due and wait for a worker")?;
    let oldest =
        of_queue("oldest_ready_seconds", "For how long the oldest ready job has been due; 0 if there is none")?;
    let scheduled = of_queue("scheduled", "Jobs that are due later")?;
    let running = of_queue("running", "Jobs that a worker holds")?;
    let dead = of_queue("dead", "Jobs that have failed for good and wait for a person")?;
    let paused = of_queue("paused", "1 while the queue is paused")?;
    for queue in queues {
        let name = [queue.name.name()];
        ready.with_label_values(&name).set(queue.ready);
        oldest.with_label_values(&name).set(queue.oldest_ready_seconds);
        scheduled.with_label_values(&name).set(queue.scheduled);
        running.with_label_values(&name).set(queue.running);
        dead.with_label_values(&name).set(queue.dead);
        paused.with_label_values(&name).set(queue.paused.into());
    }
    Ok(())
}

fn show_counts(registry: &Registry, live: &Live) -> prometheus::Result<()> {
    gauge(registry, "millrace_reservations_held", "Reservations that wait to be paid or shipped")?.set(live.held);
    gauge(registry, "millrace_reservations_overdue", "Held reservations that have expired")?.set(live.overdue);
    gauge(registry, "millrace_workers", "Workers with a recent heartbeat")?.set(live.workers);
    let help = "API keys that expire within 7 days and were used in the last 7";
    gauge(registry, "millrace_api_keys_expiring_in_use", help)?.set(live.expiring_keys);
    let help = "Until when the database has room for the history of orders; it is extended month by month";
    gauge(registry, "millrace_history_until_timestamp_seconds", help)?.set(live.history_until.timestamp());
    Ok(())
}

fn show_schedule(registry: &Registry, ticks: &[(String, DateTime<Utc>)]) -> prometheus::Result<()> {
    let help = "When each scheduled task last succeeded";
    let last_success = gauges(registry, "millrace_cron_last_success_timestamp_seconds", help, &["name"])?;
    for (name, at) in ticks {
        last_success.with_label_values(&[name.as_str()]).set(at.timestamp());
    }
    Ok(())
}

fn show_webhooks(registry: &Registry, counts: &WebhookCounts) -> prometheus::Result<()> {
    let help = "Endpoints of webhooks by state; failing: enabled, and only probed";
    let webhooks = gauges(registry, "millrace_webhooks", help, &["state"])?;
    let enabled = counts.enabled - counts.failing;
    for (state, count) in
        [("enabled", enabled), ("failing", counts.failing), ("paused", counts.paused), ("disabled", counts.disabled)]
    {
        webhooks.with_label_values(&[state]).set(count);
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "a lag has far fewer than 2^63 seconds")]
fn show_feed(registry: &Registry, lag_seconds: f64) -> prometheus::Result<()> {
    let help = "For how long the oldest event that is not in the feed has waited; 0 if there is none";
    gauge(registry, "millrace_feed_lag_seconds", help)?.set(lag_seconds as i64);
    Ok(())
}

fn show_audit(registry: &Registry, audit: &audit::Report) -> prometheus::Result<()> {
    let help = "When the integrity audit last ran";
    gauge(registry, "millrace_audit_last_run_timestamp_seconds", help)?.set(audit.ran_at.timestamp());
    let help = "How many violations of an invariant the last audit found";
    let violations = gauges(registry, "millrace_audit_violations", help, &["invariant"])?;
    for finding in &audit.invariants {
        violations.with_label_values(&[finding.name.as_str()]).set(finding.violations);
    }
    Ok(())
}

fn show_orders<'a>(
    registry: &Registry,
    statuses: impl Iterator<Item = Status>,
    orders: impl Iterator<Item = &'a OrdersInStatus>,
) -> prometheus::Result<()> {
    let counts = gauges(registry, "millrace_orders", "Orders by status", &["status"])?;
    let help = "Sum of the totals of the orders in a status, in minor units of the currency";
    let money = gauges(registry, "millrace_orders_value_minor_units", help, &["status", "currency"])?;
    let help = "For how long the oldest order in an open status has been in it; 0 if there is none";
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
    let help = "Rows of stock (product and warehouse) by level: enough; low, at or below the reorder level; out, nothing available";
    let rows = gauges(registry, "millrace_stock_rows", help, &["level"])?;
    for (level, count) in [("enough", stock.enough), ("low", stock.low), ("out", stock.out)] {
        rows.with_label_values(&[level]).set(count);
    }
    Ok(())
}
