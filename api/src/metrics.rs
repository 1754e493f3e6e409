//! The metrics of HTTP requests, in addition to those that both binaries export. Labels have few values: a route, never
//! an address or an id.

use std::time::Duration;

use prometheus::{Gauge, HistogramVec, IntCounter, IntCounterVec, histogram_opts, opts};
use shared::queue::doorbell::Doorbell;
use sqlx::PgPool;

pub struct ApiMetrics {
    pub shared: shared::metrics::Metrics,
    requests: IntCounterVec,
    durations: HistogramVec,
    pub csp_reports: IntCounter,
}

impl ApiMetrics {
    pub fn new(db: PgPool, doorbell: &Doorbell, reservation_ttl: Duration) -> prometheus::Result<Self> {
        let shared = shared::metrics::Metrics::new(db, doorbell)?;
        let labels = ["method", "route", "status"];
        let requests = IntCounterVec::new(opts!("millrace_http_requests_total", "Requests answered"), &labels)?;
        let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let help = "Time from a request's head to its answer's head";
        let durations =
            HistogramVec::new(histogram_opts!("millrace_http_request_duration_seconds", help, buckets), &labels[..2])?;
        // An alert compares this with the age of the oldest waiting job.
        let ttl = Gauge::new("millrace_reservation_ttl_seconds", "How long an unpaid order holds its stock")?;
        ttl.set(reservation_ttl.as_secs_f64());
        let help = "Reports of browsers that the Content-Security-Policy of a page stopped something";
        let csp_reports = IntCounter::new("millrace_csp_reports_total", help)?;
        shared.registry().register(Box::new(csp_reports.clone()))?;
        shared.registry().register(Box::new(ttl))?;
        shared.registry().register(Box::new(requests.clone()))?;
        shared.registry().register(Box::new(durations.clone()))?;
        Ok(Self { shared, requests, durations, csp_reports })
    }

    pub fn observe(&self, method: &str, route: &str, status: u16, elapsed: Duration) {
        let method = if KNOWN_METHODS.contains(&method) { method } else { "other" };
        self.requests.with_label_values(&[method, route, &status.to_string()]).inc();
        self.durations.with_label_values(&[method, route]).observe(elapsed.as_secs_f64());
        if let Some(class) = class_of(method, route) {
            self.shared.counted.request(class, status >= 500, elapsed);
        }
    }
}

/// As charts show requests. Streams are left out, since they last as long as somebody looks, and so are probes and files.
fn class_of(method: &str, route: &str) -> Option<&'static str> {
    let is_page = !route.ends_with("/live") && !["/health", "/assets/", "/docs"].iter().any(|it| route.starts_with(it));
    match (route.starts_with("/v1/"), method) {
        // A reader of the feed may wait for news.
        _ if route == "/v1/events" => None,
        (true, "GET" | "HEAD" | "OPTIONS") => Some("reads"),
        (true, _) => Some("writes"),
        (false, _) => is_page.then_some("pages"),
    }
}

/// Clients can invent methods, and each label value costs memory, so all other methods count as `other`.
const KNOWN_METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
