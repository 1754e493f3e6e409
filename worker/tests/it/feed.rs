//! The feed while its sequencer is killed and frozen: every event is read once, in order, soon.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::app::TestApp;
use testkit::person::Person;
use testkit::until::{until, until_some};
use testkit::workers::{TestSystem, WorkerProcess};
use tokio::sync::watch;
use uuid::Uuid;

const WRITERS: usize = 8;
/// Subjects that the writers share, so that they wait for each other's locks.
const ROWS: usize = 5;
/// The contract says 2 s. A machine that runs many tests at once may take longer; a reader that nobody wakes waits 20 s.
const SOON: Duration = Duration::from_secs(15);

/// Adjusts rows of stock until it is told to stop. Returns how many events it wrote.
async fn write(staff: &Person<'_>, rows: &[Uuid], number: usize, open: watch::Receiver<bool>) -> usize {
    let mut written = 0;
    while *open.borrow() || written < 20 {
        let row = rows[(number + written * 3) % ROWS];
        let body = json!({ "delta": 1, "reason": "received" });
        staff.post_patiently(&format!("/v1/inventory/{row}/adjustments"), body).await.done(201);
        written += 1;
    }
    written
}

/// Reads until the writers have ended and nothing lies behind the last page. `limit` is the length of its pages.
async fn read(staff: &Person<'_>, limit: usize, mut ended: watch::Receiver<Option<i64>>) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), String::new());
    loop {
        let wait = limit % 3;
        let asked = format!("/v1/events?limit={limit}&wait={wait}{after}");
        let page = staff.get_patiently(&asked).await.done(200).body;
        events.extend(page["data"].as_array().unwrap().iter().cloned());
        after = format!("&after={}", page["next_cursor"].as_str().unwrap());
        let wanted = *ended.borrow_and_update();
        if wanted.is_some_and(|wanted| i64::try_from(events.len()).unwrap() >= wanted) && page["caught_up"] == true {
            return events;
        }
    }
}

#[tokio::test]
async fn three_readers_read_each_event_once_while_the_sequencer_is_killed_and_frozen() {
    let system = TestSystem::start().await;
    let app = &system.app;
    // One after the other: a busy machine answers some of many sign-ins at once with 503.
    let mut staff = Vec::new();
    for _ in 0..WRITERS + 3 {
        staff.push(app.staff().await);
    }
    let (writing_staff, reading_staff) = staff.split_at(WRITERS);
    let mut rows = Vec::new();
    for number in 0..ROWS {
        app.product(&format!("jug-{number}"), 100, 0).await;
    }
    let ids = "select i.id from inventory i join products p on p.id = i.product_id where p.sku like 'jug-%'";
    rows.extend(sqlx::query_scalar::<_, Uuid>(ids).fetch_all(&app.db).await.unwrap());
    let ((open, is_open), (end, ended)) = (watch::channel(true), watch::channel(None));
    let writers = writing_staff.iter().enumerate().map(|(number, staff)| write(staff, &rows, number, is_open.clone()));
    let writers = futures::future::join_all(writers);
    let readers = [7, 50, 500].into_iter().zip(reading_staff);
    let readers = futures::future::join_all(readers.map(|(limit, staff)| read(staff, limit, ended.clone())));
    let faults = async {
        // A transaction that writes an event first and commits last.
        let mut long = app.db.begin().await.unwrap();
        let late = "insert into entity_events (subject, sequence, type, data) values ($1, 1, 'webhook.test', '{}')";
        sqlx::query(late).bind(Uuid::now_v7()).execute(&mut *long).await.unwrap();
        let (mut first, mut others) = (WorkerProcess::start(&system, &[]), WorkerProcess::start(&system, &[]));
        for round in 0..4 {
            let numbered = numbered(app).await;
            until("events are numbered", async || numbered_since(app, numbered).await > 30).await;
            if round % 2 == 0 {
                first.kill().await;
                first = others;
            } else {
                first.signal("STOP").await;
                let at = self::numbered(app).await;
                until("another worker numbers", async || numbered_since(app, at).await > 30).await;
                first.signal("CONT").await;
            }
            others = WorkerProcess::start(&system, &[]);
        }
        long.commit().await.unwrap();
        open.send_replace(false);
        (first, others)
    };
    let writing = async {
        let (written, workers) = futures::future::join(writers, faults).await;
        assert!(written.iter().sum::<usize>() > 100, "{written:?}");
        let all = "select (select count(*) from entity_events) + (select count(*) from order_events)";
        end.send_replace(Some(app.count(all).await));
        workers
    };
    let (read, _workers) = futures::future::join(readers, writing).await;
    for events in read {
        check(app, &events).await;
    }
    app.assert_clean().await;
}

async fn numbered(app: &TestApp) -> i64 {
    app.count("select count(*) from feed").await
}

async fn numbered_since(app: &TestApp, before: i64) -> i64 {
    numbered(app).await - before
}

/// Each event of the database is there once, and those of each subject are in order.
async fn check(app: &TestApp, events: &[Value]) {
    let mut last = BTreeMap::<&str, i64>::new();
    for event in events {
        let sequence = event["sequence"].as_i64().unwrap();
        let before = last.insert(event["subject"]["id"].as_str().unwrap(), sequence).unwrap_or(0);
        assert_eq!(sequence, before + 1, "{event:#}");
    }
    let all = "select subject::text, max(sequence)::int8, count(*) from
                   (select subject, sequence from entity_events union all select order_id, sequence from order_events) e
                group by 1";
    let all: Vec<(String, i64, i64)> = sqlx::query_as(all).fetch_all(&app.db).await.unwrap();
    assert_eq!(all.len(), last.len());
    for (subject, sequence, count) in &all {
        assert_eq!((last.get(subject.as_str()), sequence), (Some(sequence), count));
    }
}

#[tokio::test]
async fn an_event_is_there_soon_without_redis_and_whatever_other_transactions_are_open() {
    let system = TestSystem::with_redis(None).await;
    let _worker = WorkerProcess::start(&system, &[]);
    let (alice, staff) = (system.app.customer().await, system.app.staff().await);
    let mut long = system.app.db.begin().await.unwrap();
    sqlx::query("select pg_current_xact_id()::text").execute(&mut *long).await.unwrap();
    let (_, mut cursor) = staff.feed(None, "").await;
    for _ in 0..5 {
        system.order(&alice, "tok_ok").await;
        let committed = Instant::now();
        let path = format!("/v1/events?types=order.placed&wait=20&after={cursor}");
        let page = staff.get(&path).await.done(200).body;
        assert_eq!(page["data"].as_array().unwrap().len(), 1, "{page:#}");
        assert!(committed.elapsed() < SOON, "{:?}", committed.elapsed());
        page["next_cursor"].as_str().unwrap().clone_into(&mut cursor);
    }
    long.rollback().await.unwrap();
}

#[tokio::test]
async fn a_frozen_sequencer_is_replaced_soon_and_changes_nothing_when_it_wakes_up() {
    let system = TestSystem::start().await;
    let (alice, staff) = (system.app.customer().await, system.app.staff().await);
    let first = WorkerProcess::start(&system, &[]);
    let order = system.order(&alice, "tok_ok").await;
    until("the first worker numbers", async || numbered(&system.app).await > 0).await;
    let _second = WorkerProcess::start(&system, &[]);
    system.until_count("both workers run", "select count(*) from workers", 2).await;
    let (_, cursor) = staff.feed(None, "").await;
    system.reaches(&alice, &order, "delivered").await;
    first.signal("STOP").await;
    system.order(&alice, "tok_ok").await;
    let committed = Instant::now();
    let path = format!("/v1/events?types=order.placed&wait=20&after={cursor}");
    let page = staff.get(&path).await.done(200).body;
    assert_eq!(page["data"].as_array().unwrap().len(), 1, "{page:#}");
    assert!(committed.elapsed() < SOON, "{:?}", committed.elapsed());
    first.signal("CONT").await;
    system.order(&alice, "tok_ok").await;
    let (events, _) = until_some("all events are read", async || {
        let (events, end) = staff.feed(None, "").await;
        let delivered = events.iter().filter(|event| event["type"] == "order.delivered").count();
        (delivered == 3).then_some((events, end))
    })
    .await;
    check(&system.app, &events).await;
}

#[tokio::test]
async fn workers_remove_what_is_older_than_the_setting_says() {
    let system = TestSystem::start().await;
    let staff = system.app.staff().await;
    let first = WorkerProcess::start(&system, &[("FEED_KEPT", "1s")]);
    until("the events are numbered", async || numbered(&system.app).await > 0).await;
    first.kill().await;
    let old = "select count(*) from feed where fed_at > now() - interval '1 second'";
    system.until_count("they are old", old, 0).await;
    // A worker sweeps at its start, and then each minute.
    let _second = WorkerProcess::start(&system, &[("FEED_KEPT", "1s")]);
    until("they are removed", async || numbered(&system.app).await == 0).await;
    let (events, _) = staff.feed(None, "").await;
    assert_eq!(events, [json!(null); 0]);
}
