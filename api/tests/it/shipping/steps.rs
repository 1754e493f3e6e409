//! The steps of a life, taken for many orders together: what is wrong with one of them is that one's alone.

use futures::future::join_all;
use serde_json::json;
use sqlx::AssertSqlSafe;
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use uuid::Uuid;

/// Every step: the kind of its job, and the table in which the bad order's row is refused while the step is taken.
const STEPS: [(&str, &str, &str); 6] = [
    ("process_payment", "charges", "insert"),
    ("process_payment", "charges", "update"),
    ("ship_order", "shipments", "insert"),
    ("ship_order", "shipments", "update"),
    ("deliver_order", "shipments", "update"),
    ("cancel_order", "charges", "update"),
];

#[tokio::test]
async fn an_order_whose_data_are_bad_fails_alone_in_every_step() {
    let app = TestApp::with(&["--max-open-orders", "0"]).await;
    app.product("mug", 1, 100).await;
    let alice = app.customer().await;
    let hands = ManualWorker::of(&app);
    for (kind, table, verb) in STEPS {
        let mut orders = Vec::new();
        for _ in 0..5 {
            orders.push(alice.order("mug", "tok_ok").await);
        }
        if kind == "cancel_order" {
            let payments = hands.take_all(&["process_payment"]).await;
            join_all(payments.iter().map(|job| hands.attempt(job))).await;
            for order in &orders {
                alice.post(&format!("{order}/cancel"), json!({})).await.done(202);
            }
        }
        while ready(&app, kind).await < 5 {
            let before: Vec<&str> = ["process_payment", "ship_order"].into_iter().filter(|it| *it != kind).collect();
            let jobs = hands.take_all(&before).await;
            assert!(!jobs.is_empty(), "no {kind} follows");
            join_all(jobs.iter().map(|job| hands.attempt(job))).await;
        }
        let jobs = hands.take_all(&[kind]).await;
        let bad: Uuid = jobs[2].subject.unwrap();
        refuse(&app, table, verb, bad).await;
        let outcomes = join_all(jobs.iter().map(|job| hands.attempt(job))).await;
        let failed: Vec<usize> = (0..5).filter(|at| outcomes[*at].is_err()).collect();
        assert_eq!(failed, [2], "{kind}, {verb} of {table}: {outcomes:?}");
        sqlx::raw_sql(AssertSqlSafe(format!("drop trigger bad on {table}"))).execute(&app.db).await.unwrap();
        // Once its data are right, another attempt repairs it.
        hands.lose(&jobs[2]).await;
        let again = hands.take_all(&[kind]).await;
        assert!(hands.attempt(&again[0]).await.is_ok(), "{kind}, {verb} of {table}");
        hands.run().await;
    }
    assert_eq!(app.count("select count(*) from orders where status = 'delivered'").await, 25);
    assert_eq!(app.count("select count(*) from orders where status = 'cancelled'").await, 5);
    assert_eq!(app.count("select count(*) from simulated_charges where state = 'charged'").await, 25);
}

async fn ready(app: &TestApp, kind: &str) -> i64 {
    let ready = sqlx::query_scalar("select count(*) from jobs where kind = $1 and state = 'ready'");
    ready.bind(kind).fetch_one(&app.db).await.unwrap()
}

/// Postgres refuses rows of this order, as it refuses a value that breaks a constraint.
async fn refuse(app: &TestApp, table: &str, verb: &str, order: Uuid) {
    let trigger = format!(
        "create or replace function refuse_one() returns trigger language plpgsql as
             $$ begin raise exception 'bad data' using errcode = '23514'; end $$;
         create trigger bad before {verb} on {table} for each row when (new.order_id = '{order}')
             execute function refuse_one()"
    );
    sqlx::raw_sql(AssertSqlSafe(trigger)).execute(&app.db).await.unwrap();
}
