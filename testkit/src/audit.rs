//! Runs the audit for tests.

use std::time::Duration;

use serde_json::json;
use sqlx::PgPool;

use crate::database;

/// The audit of a test's few rows takes milliseconds, and one second more if it has to confirm a violation.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The violated invariants, each with its offenders.
pub async fn broken(db: &PgPool) -> Vec<String> {
    let report = shared::audit::run_to_certainty(db).await.unwrap();
    let broken = report.invariants.iter().filter(|one| one.violations > 0);
    broken.map(|one| format!("{}: {:#}", one.name, json!(one.offenders))).collect()
}

pub fn is_about_stock(broken: &str) -> bool {
    ["reserved_is_what_reservations_hold:", "stock_is_the_sum_of_its_movements:", "stock_is_never_negative:"]
        .iter()
        .any(|name| broken.starts_with(name))
}

/// Runs the audit and panics if an invariant is violated. `drop` blocks the caller's runtime, so this uses its own
/// thread and runtime. It connects to the server directly, because the test's proxy is blocked too.
pub fn after_a_test(database_url: &str) {
    let url = database::direct_url(database_url);
    let audit = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(async {
            let audit = async {
                let db = PgPool::connect(&url).await.unwrap();
                let broken = broken(&db).await;
                db.close().await;
                broken
            };
            tokio::time::timeout(TIMEOUT, audit).await.expect("the audit after the test ends in time")
        })
    });
    let broken = audit.join().expect("the audit after the test runs; see TestApp::without_audit");
    assert!(broken.is_empty(), "the audit after the test found something: {broken:#?}");
}
