//! The chaos run can fail: it sees every kind of damage, and says which promise it breaks.

use tokio::process::Command;

use crate::bins;

async fn sees(sabotage: &str, line: &str) {
    let report = std::env::temp_dir().join(format!("millrace-report-{}", uuid::Uuid::now_v7().simple()));
    let output = Command::new(bins().join("millrace-bench"))
        .args(["prove", "--calm", "--seconds", "3", "--sabotage", sabotage, "--report"])
        .arg(&report)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{printed}");
    let seen = printed.lines().any(|printed| printed.contains(line) && printed.contains("VIOLATED"));
    assert!(seen, "{sabotage} is not seen by {line}: {printed}");

    let logs = printed.lines().find_map(|line| line.strip_prefix("Logs and data: ")).expect("it names them");
    assert!(std::fs::exists(logs).unwrap(), "{logs}");
    std::fs::remove_dir_all(logs).unwrap();
    std::fs::remove_dir_all(report).unwrap();
}

#[tokio::test]
async fn a_charge_that_was_made_twice_is_seen() {
    sees("charge", "the_provider_charged_each_sale_once").await;
}

#[tokio::test]
async fn a_unit_that_came_from_nowhere_is_seen() {
    sees("stock", "units_sold_and_left_are_the_units_put_there").await;
}

#[tokio::test]
async fn a_movement_that_never_was_is_seen() {
    sees("movement", "stock_is_the_sum_of_its_movements").await;
}

#[tokio::test]
async fn a_job_that_was_deleted_is_seen() {
    sees("job", "every_open_order_waits_for_somebody").await;
}

#[tokio::test]
async fn an_order_for_something_else_is_seen() {
    sees("item", "every_answered_order_is_there_as_answered").await;
}

#[tokio::test]
async fn an_order_that_is_gone_is_seen() {
    sees("order", "every_answered_order_is_there_as_answered").await;
}
