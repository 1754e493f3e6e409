//! `/metrics`, on its own address.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::json;
use shared::metrics::jobs::{JobMetrics, outcome};
use shared::queue::{Lease, LeasedJob, Origin, Queue};
use shared::values::JobId;
use testkit::app::TestApp;

use super::{shop_with_a_past, sql};

#[tokio::test]
async fn metrics_tell_how_the_shop_stands() {
    let app = TestApp::new().await;
    shop_with_a_past(&app).await;
    sql(&app, "insert into clockwork (name, last_success_at) values ('reap', '2026-11-21T08:15:00Z'); update queues set paused = true where name = 'low';
               update orders set updated_at = now() - interval '1 hour' where status = 'paid'").await;
    app.assert_clean().await;

    let page = scrape(&app).await;
    for line in [
        r#"millrace_queue_ready{queue="high"} 1"#,
        r#"millrace_queue_ready{queue="default"} 1"#,
        r#"millrace_queue_dead{queue="high"} 1"#,
        r#"millrace_queue_paused{queue="low"} 1"#,
        r#"millrace_queue_running{queue="low"} 0"#,
        r#"millrace_queue_scheduled{queue="low"} 0"#,
        r#"millrace_orders{status="pending"} 1"#,
        r#"millrace_orders{status="shipped"} 0"#,
        r#"millrace_orders{status="delivered"} 1"#,
        r#"millrace_orders_value_minor_units{currency="USD",status="paid"} 2400"#,
        r#"millrace_orders_value_minor_units{currency="USD",status="cancelled"} 2400"#,
        "millrace_reservations_held 2",
        "millrace_reservations_overdue 0",
        "millrace_workers 0",
        r#"millrace_cron_last_success_timestamp_seconds{name="reap"} 1795248900"#,
        r#"millrace_audit_violations{invariant="stock_is_never_negative"} 0"#,
        r#"millrace_jobs_enqueued_total{kind="process_payment",queue="high"} 5"#,
        r#"millrace_http_requests_total{method="POST",route="/v1/orders",status="201"} 5"#,
        r#"millrace_orders_oldest_seconds{status="shipped"} 0"#,
        "millrace_reservation_ttl_seconds 900",
        r#"millrace_stock_units{state="on_hand"} 48"#,
        r#"millrace_stock_units{state="reserved"} 6"#,
        r#"millrace_stock_rows{level="enough"} 1"#,
        r#"millrace_stock_rows{level="low"} 0"#,
        "millrace_database_connections_max 20",
        "millrace_jobs_recovered_total 0",
    ] {
        assert!(page.lines().any(|found| found == line), "no `{line}` in\n{page}");
    }
    for name in [
        "process_cpu_seconds_total",
        "millrace_database_connections{state=\"idle\"}",
        "millrace_queue_oldest_ready_seconds",
        "millrace_feed_lag_seconds",
        "millrace_orders_oldest_seconds{status=\"paid\"} 36",
    ] {
        assert!(page.contains(name), "no {name}");
    }
    assert!(!page.contains("-7"), "an id is a label? {page}");
    let mut names: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    names.sort_unstable();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before, "each metric is told once");
}

#[tokio::test]
async fn a_scrape_is_answered_while_the_database_is_away() {
    let app = TestApp::new().await;
    app.state.db.close().await;
    let page = scrape(&app).await;
    assert!(page.contains("process_cpu_seconds_total") && !page.contains("millrace_queue_ready"), "{page}");
}

#[tokio::test]
async fn job_metrics_count_what_a_process_did() {
    let registry = prometheus::Registry::new();
    let metrics = JobMetrics::new(&registry, Arc::default()).unwrap();
    let job = held();
    for outcome in [outcome::DONE, outcome::RETRIED, outcome::DEAD, outcome::LEASE_LOST] {
        let waited = metrics.claimed(&job);
        metrics.ended(&job, outcome, waited, Duration::from_millis(30));
    }
    metrics.recovered(3);
    metrics.buried(1);

    let page = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    for line in [
        r#"millrace_jobs_processed_total{kind="noop",outcome="done",queue="default"} 1"#,
        r#"millrace_jobs_processed_total{kind="noop",outcome="lease_lost",queue="default"} 1"#,
        "millrace_jobs_retried_total 1",
        "millrace_jobs_dead_total 2",
        "millrace_jobs_recovered_total 3",
        r#"millrace_job_duration_seconds_bucket{kind="noop",le="0.025"} 0"#,
        r#"millrace_job_duration_seconds_bucket{kind="noop",le="0.05"} 4"#,
        r#"millrace_job_wait_seconds_bucket{queue="default",le="1"} 0"#,
        r#"millrace_job_wait_seconds_bucket{queue="default",le="5"} 4"#,
    ] {
        assert!(page.lines().any(|found| found == line), "no `{line}` in\n{page}");
    }
    promtool_is_content(&page);
}

#[tokio::test]
async fn promtool_is_content_with_the_metrics() {
    let app = TestApp::new().await;
    shop_with_a_past(&app).await;
    app.assert_clean().await;
    promtool_is_content(&scrape(&app).await);
}

/// A job that was due two seconds ago.
pub fn held() -> LeasedJob {
    LeasedJob {
        id: JobId::new(),
        attempt: 1,
        max_attempt: 8,
        queue: Queue::Default,
        kind: "noop".to_owned(),
        version: 1,
        args: json!({}),
        subject: None,
        origin: Origin::default(),
        run_at: Utc::now() - Duration::from_secs(2),
        lease: Arc::new(Lease::new(Instant::now(), Duration::from_secs(10))),
    }
}

async fn scrape(app: &TestApp) -> String {
    let answer = app.http.get(format!("{}/metrics", app.metrics_url)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

/// Checks the page with Prometheus's promtool.
fn promtool_is_content(page: &str) {
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("./dev test installs promtool");
    tool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let verdict = tool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&verdict.stderr).into_owned() + &String::from_utf8_lossy(&verdict.stdout);
    assert!(verdict.status.success() && said.trim().is_empty(), "{said}");
}
