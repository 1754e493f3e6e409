//! `prove` must be able to fail: it detects every kind of sabotage and names the broken promise.

use tokio::process::Command;

use crate::bins;

/// Checks that a run with this sabotage fails, and that these lines are in its verdict.
async fn detects(sabotage: &[&str], lines: &[&str]) {
    let report = std::env::temp_dir().join(format!("millrace-report-{}", uuid::Uuid::now_v7().simple()));
    let mut run = Command::new(bins().join("millrace-prove"));
    run.args(["--calm", "--seconds", "3", "--report"]).arg(&report).kill_on_drop(true);
    for kind in sabotage {
        run.args(["--sabotage", kind]);
    }
    let output = run.output().await.unwrap();
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{printed}");
    for line in lines {
        let (name, found) = line.split_once(": ").unwrap();
        let seen = printed.lines().any(|printed| printed.contains(name) && printed.contains(found));
        assert!(seen, "{line} is missing: {printed}");
    }

    let logs = printed.lines().find_map(|line| line.strip_prefix("Logs and data: ")).expect("it names them");
    assert!(std::fs::exists(logs).unwrap(), "{logs}");
    std::fs::remove_dir_all(logs).unwrap();
    std::fs::remove_dir_all(report).unwrap();
}

#[tokio::test]
async fn a_charge_made_twice_and_a_unit_from_nowhere_and_a_deleted_job_are_seen() {
    let lines = [
        "the_provider_charged_each_sale_once: VIOLATED by 1",
        "units_sold_and_on_hand_are_the_units_received: VIOLATED by 1",
        "every_open_order_waits_for_somebody: VIOLATED by 1",
    ];
    detects(&["charge", "stock", "job"], &lines).await;
}

#[tokio::test]
async fn an_event_that_is_not_in_the_feed_any_more_and_an_expired_order_are_seen() {
    let lines = [
        "every_event_is_in_the_feed_once: VIOLATED by 1",
        "no_order_lost_its_stock_because_we_were_slow: VIOLATED by 1",
    ];
    detects(&["feed", "expiry"], &lines).await;
}

#[tokio::test]
async fn a_movement_that_never_was_and_an_order_for_something_else_and_a_lost_order_are_seen() {
    let lines = [
        "stock_is_the_sum_of_its_movements: VIOLATED by 1",
        "every_order_answered_201_is_stored_as_answered: VIOLATED by 2",
    ];
    detects(&["movement", "item", "order"], &lines).await;
}
