//! Old months of history: closed, written to files, compared, dropped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use shared::archive::{self, MonthWaits};
use shared::{audit, feed};
use testkit::app::TestApp;
use testkit::person::Person;
use testkit::until::until;
use testkit::workers::{TestSystem, WorkerProcess};
use uuid::Uuid;

const AFTER: Duration = Duration::from_hours(35 * 24);

/// A folder of its own, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("archive-{}", Uuid::now_v7()));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Two delivered orders and a cancelled one, five months old; and one of today.
struct OldShop {
    system: TestSystem,
    old: [String; 3],
    new: String,
}

impl OldShop {
    async fn open() -> Self {
        let system = TestSystem::start().await;
        system.app.began_months_ago(6).await;
        let alice = system.app.customer().await;
        let worker = WorkerProcess::start(&system, &[]);
        let old = [
            system.order(&alice, "tok_ok").await,
            system.order(&alice, "tok_ok").await,
            system.order(&alice, "tok_declined").await,
        ];
        for (order, end) in old.iter().zip(["delivered", "delivered", "cancelled"]) {
            system.reaches(&alice, order, end).await;
        }
        until("the feed has them", async || {
            system.count("select count(*) from feed where type in ('order.delivered', 'order.cancelled')").await == 3
        })
        .await;
        worker.kill().await;
        system.app.move_to_the_past(5).await;
        let new = system.order(&alice, "tok_ok").await;
        let ids: Vec<Uuid> =
            sqlx::query_scalar("select id from orders order by id").fetch_all(&system.app.db).await.unwrap();
        let old = [0, 1, 2].map(|n| format!("/v1/orders/{}", ids[n]));
        Self { system, old, new }
    }

    fn app(&self) -> &TestApp {
        &self.system.app
    }

    async fn staff(&self) -> Person<'_> {
        self.app().staff().await
    }

    /// As the feed does after `FEED_KEPT`.
    async fn forget_feed(&self) {
        feed::retention::remove_old(&mut self.app().state.db.acquire().await.unwrap(), Duration::ZERO).await.unwrap();
    }

    /// Nothing is wrong. This also moves the checkpoint of stock.
    async fn audit(&self) {
        let report = audit::run(&mut self.app().state.db.acquire().await.unwrap()).await.unwrap();
        assert_eq!(report.violations, 0, "{report:#?}");
    }

    async fn archive(&self, dir: &Dir) -> shared::error::Result<Option<MonthWaits>> {
        archive::run(&self.app().state.db, &dir.0, AFTER).await
    }

    async fn parts(&self) -> Vec<String> {
        let parts = "select name from archive_months where removed_at is null order by low";
        sqlx::query_scalar(parts).fetch_all(&self.app().db).await.unwrap()
    }

    /// The part that has the old orders.
    async fn part_of_old(&self) -> String {
        let id = Uuid::parse_str(self.old[0].rsplit('/').next().unwrap()).unwrap();
        let part = "select name from archive_months where $1 >= low and $1 < high";
        sqlx::query_scalar(part).bind(id).fetch_one(&self.app().db).await.unwrap()
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let said = Command::new("zcat").arg(path).output().unwrap();
    assert!(said.status.success(), "{}", path.display());
    String::from_utf8(said.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_month_goes_to_files_when_nothing_in_it_can_change_and_its_orders_say_where_they_are() {
    let (shop, dir) = (OldShop::open().await, Dir::new());
    let staff = shop.staff().await;
    let part = shop.part_of_old().await;
    let before = staff.see(&shop.old[0]).await;
    assert_eq!(shop.archive(&dir).await.unwrap(), Some(MonthWaits::Checkpoint), "the first part has no stock");
    shop.audit().await;
    assert_eq!(shop.archive(&dir).await.unwrap(), Some(MonthWaits::Feed));
    assert_eq!(shop.parts().await[0], part, "the months before it were empty");
    shop.forget_feed().await;
    sqlx::query("update orders set status = 'shipped' where id = (select min(id::text)::uuid from orders)")
        .execute(&shop.app().db)
        .await
        .unwrap();
    assert_eq!(shop.archive(&dir).await.unwrap(), Some(MonthWaits::Orders));
    sqlx::query("update orders set status = 'delivered' where status = 'shipped'")
        .execute(&shop.app().db)
        .await
        .unwrap();

    // Through the front door: the job, on a worker.
    let at = json!({ "at": "2026-11-28T00:20:00Z" });
    shop.system.jobs("archive", "low", at, 1).await;
    let dir_of_worker = dir.0.to_str().unwrap();
    let worker = WorkerProcess::start(&shop.system, &[("ARCHIVE_DIR", dir_of_worker), ("ARCHIVE_AFTER", "35d")]);
    until("the part is removed", async || shop.parts().await[0] != part).await;
    shop.system
        .until_count("it is done", "select count(*) from jobs where kind = 'archive' and state = 'done'", 1)
        .await;

    let files = dir.0.join(&part);
    let events = lines(&files.join("order_events.jsonl.gz"));
    let types: Vec<&str> = events
        .iter()
        .filter(|event| shop.old[0].ends_with(event["order_id"].as_str().unwrap()))
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["placed", "processing", "paid", "shipped", "delivered"]);
    let items = lines(&files.join("order_items.jsonl.gz"));
    assert_eq!(items.len(), 3);
    assert_eq!(items[0]["unit_price_minor"], before["items"][0]["unit_price"]["amount"]);
    let manifest: Value = serde_json::from_str(&std::fs::read_to_string(files.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["files"].as_array().unwrap().len(), 3);
    for file in manifest["files"].as_array().unwrap() {
        let path = files.join(file["name"].as_str().unwrap());
        assert_eq!(lines(&path).len() as u64, file["rows"].as_u64().unwrap());
        let said = Command::new("sha256sum").arg(&path).output().unwrap();
        assert!(String::from_utf8(said.stdout).unwrap().starts_with(file["sha256"].as_str().unwrap()));
    }

    let read = staff.see(&shop.old[0]).await;
    assert_eq!((&read["items"], &read["archive"]), (&json!([]), &json!(part)));
    assert_eq!((&read["total"], &read["status"]), (&before["total"], &json!("delivered")));
    let refused = staff.get(&format!("{}/events", shop.old[0])).await;
    assert!(refused.text.contains(&part), "{refused:?}");
    refused.refused(410, "order_archived");
    staff.get(&format!("{}?as_of=2026-11-28T00:00:00Z", shop.old[0])).await.refused(410, "order_archived");
    let note = json!({ "text": "They called." });
    staff.post(&format!("{}/notes", shop.old[0]), note.clone()).await.refused(410, "order_archived");
    staff.post(&format!("{}/notes", shop.new), note).await.done(201);
    let new = staff.see(&shop.new).await;
    assert_eq!((new["items"].as_array().unwrap().len(), &new["archive"]), (1, &Value::Null));
    shop.system.reaches(&staff, &shop.new, "delivered").await;
    worker.kill().await;
    shop.audit().await;
    let full =
        audit::run_to_certainty(&mut shop.app().state.db.acquire().await.unwrap(), Uuid::now_v7()).await.unwrap();
    assert_eq!(full.violations, 0, "{full:#?}");
}

#[tokio::test]
async fn nothing_is_removed_when_files_and_books_differ_and_a_closed_month_takes_no_more() {
    let (shop, dir) = (OldShop::open().await, Dir::new());
    let staff = shop.staff().await;
    let part = shop.part_of_old().await;
    shop.forget_feed().await;
    shop.audit().await;
    let change = async |sql: &str| {
        let sql = format!("set session_replication_role = replica; {sql}; set session_replication_role = default");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&shop.app().db).await.unwrap();
    };
    let rows = async |table: &str| -> i64 {
        let count = format!("select count(*) from {table}_{part}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&shop.app().db).await.unwrap()
    };
    for (table, lose, said) in [
        ("order_events", "sequence = 3", "events"),
        ("order_items", "true", "items"),
        ("stock_movements", "reason = 'shipped'", "by the checkpoints"),
    ] {
        let take = format!("create table lost as select * from {table}_{part} where {lose}");
        change(&format!("{take}; delete from {table}_{part} where {lose}")).await;
        let error = shop.archive(&dir).await.unwrap_err();
        let shared::error::Error::Internal(why) = &error else { panic!("{error:?}") };
        assert!(why.to_string().contains(said), "{table}: {why}");
        assert_eq!(shop.parts().await[0], part);
        change(&format!("insert into {table}_{part} select * from lost; drop table lost")).await;
    }
    // It is closed, and still here.
    assert_eq!(staff.story(&shop.old[0]).await.len(), 5);
    let note = json!({ "text": "They called." });
    let refused = staff.post(&format!("{}/notes", shop.old[0]), note).await;
    assert!(refused.text.contains(&part), "{refused:?}");
    refused.refused(410, "order_archived");

    // A run that was killed: a file is there, another is half written, a third was lost.
    let files = dir.0.join(&part);
    assert!(rows("stock_movements").await > 0);
    std::fs::write(files.join("order_items.jsonl.gz.1.part"), "half").unwrap();
    std::fs::remove_file(files.join("stock_movements.jsonl.gz")).unwrap();
    // Two workers at once: one of them does it.
    let both = futures::future::join(Box::pin(shop.archive(&dir)), Box::pin(shop.archive(&dir))).await;
    assert_eq!((both.0.unwrap(), both.1.unwrap()), (None, None));
    assert_ne!(shop.parts().await[0], part);
    assert_eq!(lines(&files.join("order_items.jsonl.gz")).len(), 3);
    assert_eq!(std::fs::read_dir(&files).unwrap().count(), 4, "three files and what is in them");
    shop.audit().await;
}

#[tokio::test]
async fn what_a_killed_run_left_of_a_removed_month_is_dropped_by_the_next_run() {
    let (shop, dir) = (OldShop::open().await, Dir::new());
    let staff = shop.staff().await;
    let part = shop.part_of_old().await;
    shop.forget_feed().await;
    shop.audit().await;
    let there = async |table: &str| -> bool {
        let exists = "select to_regclass($1) is not null";
        sqlx::query_scalar(exists).bind(format!("{table}_{part}")).fetch_one(&shop.app().db).await.unwrap()
    };
    // Somebody reads the second of the three tables, so the run has to wait for it. It is killed while it waits.
    let mut reading = shop.app().db.begin().await.unwrap();
    let read = format!("select from order_events_{part}");
    sqlx::query(sqlx::AssertSqlSafe(read)).fetch_all(&mut *reading).await.unwrap();
    shop.system.jobs("archive", "low", json!({ "at": "2026-11-28T00:20:00Z" }), 1).await;
    let dir_of_worker = dir.0.to_str().unwrap();
    let worker = WorkerProcess::start(&shop.system, &[("ARCHIVE_DIR", dir_of_worker), ("ARCHIVE_AFTER", "35d")]);
    until("the first table is dropped", async || !there("order_items").await).await;
    worker.kill().await;
    assert!(there("order_events").await && there("stock_movements").await);
    assert_ne!(shop.parts().await[0], part, "the month is removed for all readers");
    assert_eq!(staff.see(&shop.old[0]).await["archive"], json!(part));
    shop.audit().await;

    reading.commit().await.unwrap();
    until("the next run drops the others", async || {
        shop.archive(&dir).await.unwrap();
        !there("order_events").await && !there("stock_movements").await
    })
    .await;
    staff.get(&format!("{}/events", shop.old[0])).await.refused(410, "order_archived");
    shop.audit().await;
}
