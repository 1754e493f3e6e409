//! What operators see and do: the audit, queues, jobs, workers, metrics.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::{Value, json};
use shared::metrics::{JobMetrics, outcome};
use shared::queue::claim::{self, Claimer};
use shared::queue::{Lease, LeasedJob, Origin, Queue, WorkerId};
use shared::values::JobId;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use testkit::app::TestApp;
use testkit::person::Reply;

/// One product, and five orders of it that went different ways: pending, paid, delivered, cancelled, and one
/// that came to a person.
async fn shop_with_a_past(app: &TestApp) {
    sql(app, "insert into products (sku, name, price_minor, currency) values ('mug', 'Mug', 1200, 'USD');
              insert into warehouses (code, name) values ('MAIN', 'Main');
              insert into inventory (product_id, warehouse_id, on_hand) select p.id, w.id, 50 from products p, warehouses w;
              insert into stock_movements (product_id, warehouse_id, on_hand_delta, reason)
              select product_id, warehouse_id, on_hand, 'received' from inventory")
    .await;
    let alice = app.customer().await;
    for status in ["pending", "paid", "delivered", "cancelled", "processing"] {
        let body = json!({ "items": [{ "sku": "mug", "quantity": 2 }], "payment_token": "tok_ok", "shipping_address": { "city": "Bath" } });
        let order = alice.post("/v1/orders", body).await.done(201);
        live(app, order.id(), status).await;
    }
}

/// Lets an order live up to a state, in every book, as workers do.
async fn live(app: &TestApp, order: &str, status: &str) {
    let charged = "insert into charges (order_id, amount_minor, currency, state) select id, total_minor, currency, 'charged' from orders where id = $1;
                   insert into simulated.charges (key, amount_minor, currency, state) select id, amount_minor, currency, 'charged' from charges where order_id = $1;
                   update reservations set state = 'posted' where order_id = $1;
                   update jobs set state = 'done', finished_at = now() where order_id = $1 and kind = 'process_payment';
                   insert into jobs (queue, kind, args, max_attempt, order_id) values ('default', 'ship_order', '{}', 8, $1);";
    let delivered = "update reservations set state = 'shipped' where order_id = $1;
                     update inventory set on_hand = on_hand - 2, reserved = reserved - 2;
                     insert into stock_movements (product_id, warehouse_id, on_hand_delta, reserved_delta, reason, order_id)
                     select product_id, warehouse_id, -2, -2, 'shipped', $1 from inventory;
                     insert into shipments (order_id, warehouse_id, state, tracking_number, shipped_at, delivered_at) select $1, id, 'delivered', 'T' || $1, now(), now() from warehouses;
                     update jobs set state = 'done', finished_at = now() where order_id = $1;";
    let cancelled = "update reservations set state = 'released' where order_id = $1;
                     update inventory set reserved = reserved - 2;
                     insert into stock_movements (product_id, warehouse_id, reserved_delta, reason, order_id)
                     select product_id, warehouse_id, -2, 'released', $1 from inventory;
                     update jobs set state = 'done', finished_at = now() where order_id = $1;";
    let dead = "update jobs set state = 'dead', attempt = 8, error = 'no answer', error_fingerprint = 'aa' where order_id = $1;";
    let moved = format!(
        "update orders set status = '{status}', event_sequence = 2 where id = $1;
         insert into order_events (order_id, sequence, type) values ($1, 2, '{status}');"
    );
    let steps = match status {
        "paid" => [charged, "", &moved],
        "delivered" => [charged, delivered, &moved],
        "cancelled" => [cancelled, "", &moved],
        "processing" => [dead, "", &moved],
        _ => [""; 3],
    };
    sql(app, &steps.concat().replace("$1", &format!("'{order}'"))).await;
}

async fn sql(app: &TestApp, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&app.db).await.unwrap();
}

/// The invariants that a report finds broken.
fn broken(report: &Value) -> Vec<&str> {
    let invariants = report["invariants"].as_array().unwrap();
    invariants.iter().filter(|one| one["violations"] != 0).map(|one| one["name"].as_str().unwrap()).collect()
}

/// What breaks each invariant, and what mends it.
const SABOTAGE: [(&str, &str, &str); 20] = [
    (
        "reserved_is_what_reservations_hold",
        "update inventory set reserved = reserved + 1",
        "update inventory set reserved = reserved - 1",
    ),
    (
        "stock_is_the_sum_of_its_movements",
        "update inventory set on_hand = on_hand + 1",
        "update inventory set on_hand = on_hand - 1",
    ),
    (
        "stock_is_never_negative",
        "alter table inventory drop constraint inventory_never_oversold; update inventory set on_hand = on_hand - 50",
        "update inventory set on_hand = on_hand + 50; alter table inventory add constraint inventory_never_oversold check (0 <= reserved and reserved <= on_hand)",
    ),
    (
        "total_is_the_sum_of_its_items",
        "update order_items set quantity = 3 where order_id = (select id from orders where status = 'pending')",
        "update order_items set quantity = 2",
    ),
    (
        "our_ledger_charged_each_sale_once",
        "update charges set state = 'started' where order_id = (select id from orders where status = 'delivered')",
        "update charges set state = 'charged'",
    ),
    (
        "our_ledger_charged_each_sale_once",
        "update charges set amount_minor = amount_minor + 1 where order_id = (select id from orders where status = 'paid')",
        "update charges set amount_minor = 2400",
    ),
    (
        "our_ledger_charged_each_sale_once",
        "insert into charges (order_id, amount_minor, currency, state, manual) select id, 2400, 'USD', 'charged', true from orders where status = 'cancelled'",
        "delete from charges where manual",
    ),
    (
        "the_provider_charged_each_sale_once",
        "update simulated.charges set state = 'refunded' where key = (select c.id from charges c join orders o on o.id = c.order_id where o.status = 'paid')",
        "update simulated.charges set state = 'charged'",
    ),
    (
        "the_provider_charged_each_sale_once",
        "insert into simulated.charges (key, amount_minor, currency, state) values (gen_random_uuid(), 2400, 'USD', 'charged')",
        "delete from simulated.charges where key not in (select id from charges)",
    ),
    (
        "the_provider_charged_each_sale_once",
        "update charges set manual = true where order_id = (select id from orders where status = 'delivered')",
        "update charges set manual = false",
    ),
    (
        "cancelled_orders_hold_nothing",
        "update reservations set state = 'held' where state = 'released'",
        "update reservations set state = 'released' where order_id = (select id from orders where status = 'cancelled')",
    ),
    (
        "what_was_shipped_left_once",
        "insert into stock_movements (product_id, warehouse_id, on_hand_delta, reason, order_id) select product_id, warehouse_id, -2, 'shipped', order_id from stock_movements where reason = 'shipped'",
        "alter table stock_movements disable trigger append_only; delete from stock_movements where reason = 'shipped' and reserved_delta = 0; alter table stock_movements enable trigger append_only",
    ),
    (
        "what_was_shipped_left_once",
        "update reservations set state = 'posted' where state = 'shipped'",
        "update reservations set state = 'shipped' where order_id = (select id from orders where status = 'delivered')",
    ),
    (
        "what_was_shipped_left_once",
        "update orders set status = 'delivered' where status = 'paid'",
        "update orders set status = 'paid' where id = (select order_id from jobs where kind = 'ship_order' and state = 'ready')",
    ),
    (
        "every_open_order_waits_for_somebody",
        "update jobs set state = 'done' where kind = 'process_payment' and state = 'dead'",
        "update jobs set state = 'dead' where order_id = (select id from orders where status = 'processing')",
    ),
    (
        "every_open_order_waits_for_somebody",
        "update jobs set kind = 'deliver_order' where kind = 'ship_order' and state = 'ready'",
        "update jobs set kind = 'ship_order' where kind = 'deliver_order'",
    ),
    (
        "nothing_runs_without_a_lease",
        "update jobs set state = 'running', lease_until = now() - interval '2 minutes' where state = 'ready' and kind = 'ship_order'",
        "update jobs set state = 'ready', lease_until = null where state = 'running'",
    ),
    (
        "event_sequences_have_no_gaps",
        "update order_events set sequence = 3 where type = 'paid'",
        "update order_events set sequence = 2 where type = 'paid'",
    ),
    (
        "event_sequences_have_no_gaps",
        "update orders set event_sequence = 2 where status = 'pending'",
        "update orders set event_sequence = 1 where status = 'pending'",
    ),
    (
        "event_sequences_have_no_gaps",
        "alter table order_events drop constraint order_events_order_id_fkey; delete from order_events where type = 'placed' and order_id = (select id from orders where status = 'pending')",
        "insert into order_events (order_id, sequence, type) select id, 1, 'placed' from orders where status = 'pending'",
    ),
];

#[tokio::test]
async fn the_audit_catches_whatever_breaks_an_invariant_when_it_is_seen_twice() {
    let app = TestApp::new().await;
    shop_with_a_past(&app).await;
    app.assert_clean().await;

    for (invariant, sabotage, repair) in SABOTAGE {
        sql(&app, sabotage).await;
        let first = shared::audit::run(&app.db).await.unwrap();
        assert_eq!(first.violations, 0, "{invariant} is only suspected after one look");
        let second = json!(shared::audit::run(&app.db).await.unwrap());
        assert!(broken(&second).contains(&invariant), "{sabotage} is not seen as {invariant}: {second:#}");

        sql(&app, repair).await;
        let mended = shared::audit::run(&app.db).await.unwrap();
        assert_eq!(mended.violations, 0, "{repair} mends {invariant}: {mended:#?}");
    }
    let names: std::collections::BTreeSet<&str> = SABOTAGE.iter().map(|(name, ..)| *name).collect();
    let report = shared::audit::run(&app.db).await.unwrap();
    assert_eq!(
        names,
        report.invariants.iter().map(|one| one.name.as_str()).collect(),
        "each invariant has its sabotage"
    );
}

#[tokio::test]
async fn the_audit_adds_up_only_what_is_not_in_the_checkpoints_yet() {
    let app = TestApp::new().await;
    shop_with_a_past(&app).await;
    let two_hours_older = "alter table stock_movements disable trigger append_only;
        update stock_movements set id = overlay(id::text placing '00000000-0000' from 1 for 13)::uuid";
    sql(&app, two_hours_older).await;
    app.assert_clean().await;

    // They are in the checkpoints now: without them the sums are the same, and what comes later is added.
    sql(&app, "delete from stock_movements where reason not in ('shipped', 'released')").await;
    let body = json!({ "items": [{ "sku": "mug", "quantity": 2 }], "payment_token": "tok_ok", "shipping_address": { "city": "Bath" } });
    app.customer().await.post("/v1/orders", body).await.done(201);
    app.assert_books_balance().await;

    sql(&app, "update inventory set on_hand = on_hand + 1").await;
    for _ in 0..2 {
        shared::audit::run(&app.db).await.unwrap();
    }
    let report = json!(shared::audit::run(&app.db).await.unwrap());
    assert_eq!(broken(&report), ["stock_is_the_sum_of_its_movements"], "damage is not summed into a checkpoint");
}

/// Writes a dead job with two failed attempts, and answers its id.
async fn dead_job(app: &TestApp, kind: &str, queue: &str, error: &str) -> String {
    let id = Uuid::now_v7();
    sqlx::query(
        "with job as (
             insert into jobs (id, queue, kind, args, state, attempt, max_attempt, error, error_fingerprint, finished_at)
             values ($1, $2::queue, $3, '{}', 'dead', 2, 2, $4, $4, now()) returning id)
         insert into job_attempts (job_id, attempt, worker, host, started_at, ended_at, outcome, error, fingerprint)
         select id, n, uuidv7(), 'mill-7', now() - interval '250 ms', now(), 'transient', $4, $4 from job, generate_series(1, 2) n",
    )
    .bind(id)
    .bind(queue)
    .bind(kind)
    .bind(error)
    .execute(&app.db)
    .await
    .unwrap();
    id.to_string()
}

fn ids(reply: &Reply) -> Vec<&str> {
    reply.body["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_audit_is_answered_as_it_last_ran_or_fresh() {
    let app = TestApp::new().await;
    shop_with_a_past(&app).await;
    let staff = app.staff().await;

    let first = staff.get("/v1/ops/audit").await.done(200);
    assert_eq!(first.body["violations"], 0, "without a run before it runs now");
    assert_eq!(first.body["invariants"].as_array().unwrap().len(), 11);

    sql(&app, "update inventory set on_hand = on_hand + 1").await;
    assert_eq!(staff.get("/v1/ops/audit").await.done(200).body, first.body, "the last run is answered as it was");
    let fresh = staff.get("/v1/ops/audit?fresh=true").await.done(200);
    assert_eq!(broken(&fresh.body), ["stock_is_the_sum_of_its_movements"]);
    let found = &fresh.body["invariants"][1];
    assert_eq!((&found["violations"], &found["offenders"][0]["on_hand"]), (&json!(1), &json!(49)));
    assert_ne!(fresh.body["ran_at"], first.body["ran_at"]);
    assert_eq!(staff.get("/v1/ops/audit").await.done(200).body, fresh.body);

    staff.get("/v1/ops/audit?fresh=yes").await.refused(422, "invalid_value");
}

#[tokio::test]
async fn operations_are_for_staff() {
    let app = TestApp::new().await;
    let job = dead_job(&app, "noop", "default", "boom").await;
    let (nobody, alice) = (app.anyone(), app.customer().await);
    for path in ["queues", "jobs", &format!("jobs/{job}"), "workers", "audit"] {
        nobody.get(&format!("/v1/ops/{path}")).await.refused(401, "unauthenticated");
        alice.get(&format!("/v1/ops/{path}")).await.refused(403, "forbidden");
    }
    for path in [
        "queues/low/pause",
        "queues/low/resume",
        &format!("jobs/{job}/retry"),
        &format!("jobs/{job}/discard"),
        "jobs/retry",
    ] {
        nobody.post(&format!("/v1/ops/{path}"), json!({})).await.refused(401, "unauthenticated");
        alice.post(&format!("/v1/ops/{path}"), json!({})).await.refused(403, "forbidden");
    }
    let staff = app.staff().await;
    assert_eq!(staff.get(&format!("/v1/ops/jobs/{job}")).await.done(200).body["state"], "dead");
    let queues = staff.get("/v1/ops/queues").await.done(200);
    assert!(queues.body["data"].as_array().unwrap().iter().all(|queue| queue["paused"] == false));
}

#[tokio::test]
async fn queues_say_what_waits_in_them() {
    let app = TestApp::new().await;
    sql(
        &app,
        "insert into jobs (queue, kind, args, state, max_attempt, run_at, lease_until) values
         ('high', 'noop', '{}', 'ready', 8, now() - interval '90 s', null),
         ('high', 'noop', '{}', 'ready', 8, now() - interval '10 s', null),
         ('high', 'noop', '{}', 'ready', 8, now() + interval '1 hour', null),
         ('high', 'noop', '{}', 'done', 8, now() - interval '1 hour', null),
         ('low', 'noop', '{}', 'running', 8, now() - interval '1 hour', now()),
         ('low', 'noop', '{}', 'dead', 8, now() - interval '1 hour', null)",
    )
    .await;
    let queues = app.staff().await.get("/v1/ops/queues").await.done(200);

    let row = |queue: &Value| {
        let number = |name: &str| queue[name].as_i64().unwrap();
        (number("ready"), number("scheduled"), number("running"), number("dead"))
    };
    let data = queues.body["data"].as_array().unwrap();
    assert_eq!(
        data.iter().map(|queue| queue["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["high", "default", "low"]
    );
    assert_eq!(data.iter().map(row).collect::<Vec<_>>(), [(2, 1, 0, 0), (0, 0, 0, 0), (0, 0, 1, 1)]);
    assert!((90..120).contains(&data[0]["oldest_ready_seconds"].as_i64().unwrap()));
    assert_eq!(data[1]["oldest_ready_seconds"], 0);
}

#[tokio::test]
async fn a_queue_is_paused_and_resumed() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    for _ in 0..2 {
        let paused = staff.post("/v1/ops/queues/default/pause", json!({})).await.done(200);
        assert_eq!((&paused.body["name"], &paused.body["paused"]), (&json!("default"), &json!(true)));
    }
    // Nobody may claim from it, and another process knows it too.
    assert_eq!(claimable(&app).await, ["high", "low"]);
    let other = TestApp::on(&app.database_url, &[]).await;
    let queues = other.staff().await.get("/v1/ops/queues").await.done(200);
    assert_eq!(queues.body["data"][1]["paused"], true);

    for _ in 0..2 {
        let resumed = staff.post("/v1/ops/queues/default/resume", json!({})).await.done(200);
        assert_eq!(resumed.body["paused"], false);
    }
    assert_eq!(claimable(&app).await, ["high", "default", "low"]);

    staff.post("/v1/ops/queues/urgent/pause", json!({})).await.refused(404, "queue_not_found");
    staff.post("/v1/ops/queues/low/pause", json!({ "for": "1h" })).await.refused(422, "unknown_field");
    assert_eq!(claimable(&app).await, ["high", "default", "low"]);
}

/// From which queues a worker would get a job now.
async fn claimable(app: &TestApp) -> Vec<&'static str> {
    let mut tx = app.db.begin().await.unwrap();
    for queue in ["high", "default", "low"] {
        sqlx::query(
            "insert into jobs (queue, kind, args, max_attempt, run_at) values ($1::queue, 'noop', '{}', 8, now())",
        )
        .bind(queue)
        .execute(&mut *tx)
        .await
        .unwrap();
    }
    let ids: Vec<Uuid> = sqlx::query_scalar("select id from jobs").fetch_all(&mut *tx).await.unwrap();
    let ids: Vec<JobId> = ids.into_iter().map(JobId).collect();
    let claimer =
        Claimer { worker: WorkerId(Uuid::now_v7()), lease: Duration::from_secs(10), kinds: vec!["noop/1".to_owned()] };
    let mut queues: Vec<Queue> =
        claim::by_ids(&mut tx, &claimer, &ids).await.unwrap().into_iter().map(|job| job.queue).collect();
    queues.sort();
    queues.into_iter().map(Queue::name).collect()
}

#[tokio::test]
async fn jobs_are_listed_newest_first_and_filtered() {
    let app = TestApp::new().await;
    shop_with_a_past(&app).await;
    let staff = app.staff().await;
    let slow = dead_job(&app, "noop", "low", "slow").await;
    let lost = dead_job(&app, "noop", "low", "lost").await;
    let other = dead_job(&app, "tick", "low", "slow").await;

    let all = staff.get("/v1/ops/jobs").await.done(200);
    assert_eq!(ids(&all)[..3], [&other, &lost, &slow]);
    assert_eq!(all.body["data"][0]["error_fingerprint"], "slow");
    assert_eq!(all.body["data"].as_array().unwrap().len(), 5 + 2 + 3);
    for (filter, expected) in [
        ("state=dead&kind=noop", vec![&lost, &slow]),
        ("error=slow", vec![&other, &slow]),
        ("queue=low&error=slow&kind=tick", vec![&other]),
        ("state=running", vec![]),
        ("queue=high&kind=tick", vec![]),
    ] {
        assert_eq!(ids(&staff.get(&format!("/v1/ops/jobs?{filter}")).await.done(200)), expected, "{filter}");
    }
    let order: Uuid =
        sqlx::query_scalar("select id from orders where status = 'delivered'").fetch_one(&app.db).await.unwrap();
    let of_order = staff.get(&format!("/v1/ops/jobs?order_id={order}")).await.done(200);
    let kinds = of_order.body["data"].as_array().unwrap().iter().map(|job| job["kind"].as_str().unwrap());
    assert_eq!(kinds.collect::<Vec<_>>(), ["ship_order", "process_payment"]);

    // By pages nothing is lost or shown twice.
    let mut paged = Vec::new();
    let mut path = "/v1/ops/jobs?limit=3".to_owned();
    loop {
        let page = staff.get(&path).await.done(200);
        paged.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = format!("/v1/ops/jobs?limit=3&cursor={cursor}");
    }
    assert_eq!(paged, ids(&all));

    staff.get("/v1/ops/jobs?state=stuck").await.refused(422, "invalid_value");
    staff.get("/v1/ops/jobs?order_id=7").await.refused(422, "invalid_value");
    staff.get("/v1/ops/jobs?colour=red").await.refused(422, "unknown_field");
    staff.get("/v1/ops/jobs?limit=501").await.refused(422, "invalid_limit");
}

#[tokio::test]
async fn a_job_shows_every_failed_attempt() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let id = dead_job(&app, "noop", "default", "boom").await;

    let job = staff.get(&format!("/v1/ops/jobs/{id}")).await.done(200).body;
    assert_eq!((&job["state"], &job["attempt"], &job["error"]), (&json!("dead"), &json!(2), &json!("boom")));
    let attempts = job["attempts"].as_array().unwrap();
    assert_eq!(attempts.iter().map(|one| one["attempt"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(
        (&attempts[0]["host"], &attempts[0]["duration_ms"], &attempts[0]["outcome"], &attempts[0]["error"]),
        (&json!("mill-7"), &json!(250), &json!("transient"), &json!("boom"))
    );
    assert!(attempts[0]["worker_id"].is_string() && attempts[0]["started_at"].is_string());

    staff.get(&format!("/v1/ops/jobs/{}", Uuid::now_v7())).await.refused(404, "job_not_found");
}

#[tokio::test]
async fn a_dead_job_is_retried_with_a_fresh_budget_and_its_history() {
    let app = TestApp::with(&["--job-max-attempts", "5"]).await;
    shop_with_a_past(&app).await;
    let staff = app.staff().await;
    let dead = staff.get("/v1/ops/jobs?state=dead").await.done(200);
    let (id, order) = (ids(&dead)[0].to_owned(), dead.body["data"][0]["order_id"].as_str().unwrap().to_owned());
    let order = format!("/v1/orders/{order}");
    assert_eq!(staff.get(&order).await.done(200).body["next_action"]["by"], "staff");
    let path = format!("/v1/ops/jobs/{id}/retry");

    let retried = staff.post_with_key(&path, "again", json!({})).await.done(200);
    let job = &retried.body;
    assert_eq!((&job["state"], &job["attempt"], &job["max_attempt"]), (&json!("ready"), &json!(8), &json!(13)));
    assert_eq!(job["error"], "no answer");
    assert_eq!(staff.get(&order).await.done(200).body["next_action"]["by"], "worker");
    assert_eq!(timeline(&app, &order).await, ["placed", "processing", "job_retried"]);

    // The same key answers the same; another request finds a job that is not dead.
    let replayed = staff.post_with_key(&path, "again", json!({})).await.done(200);
    assert_eq!((replayed.header("idempotent-replayed"), &replayed.body), ("true", job));
    staff.post(&path, json!({})).await.refused(409, "job_not_dead");
    staff.post(&format!("/v1/ops/jobs/{id}/discard"), json!({})).await.refused(409, "job_not_dead");
    staff.post(&format!("/v1/ops/jobs/{}/retry", Uuid::now_v7()), json!({})).await.refused(404, "job_not_found");
    assert_eq!(&staff.get(&format!("/v1/ops/jobs/{id}")).await.done(200).body, job);
    assert_eq!(timeline(&app, &order).await.len(), 3);
}

#[tokio::test]
async fn a_discarded_job_leaves_its_order_with_staff() {
    let app = TestApp::new().await;
    shop_with_a_past(&app).await;
    let staff = app.staff().await;
    let dead = staff.get("/v1/ops/jobs?state=dead").await.done(200);
    let order = format!("/v1/orders/{}", dead.body["data"][0]["order_id"].as_str().unwrap());
    let path = format!("/v1/ops/jobs/{}", ids(&dead)[0]);

    let discarded = staff.post(&format!("{path}/discard"), json!({})).await.done(200);
    assert_eq!(discarded.body["state"], "discarded");
    assert_eq!(staff.get(&order).await.done(200).body["next_action"]["by"], "staff");
    assert_eq!(timeline(&app, &order).await, ["placed", "processing", "job_discarded"]);

    staff.post(&format!("{path}/discard"), json!({})).await.refused(409, "job_not_dead");
    staff.post(&format!("{path}/retry"), json!({})).await.refused(409, "job_not_dead");
    staff.post(&format!("/v1/ops/jobs/{}/discard", Uuid::now_v7()), json!({})).await.refused(404, "job_not_found");
    assert_eq!(staff.get(&path).await.done(200).body, discarded.body);
}

/// What happened to an order, by the names of the events.
async fn timeline(app: &TestApp, order: &str) -> Vec<String> {
    let events = app.staff().await.get(&format!("{order}/events")).await.done(200);
    events.body["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn many_dead_jobs_are_retried_by_what_killed_them() {
    let app = TestApp::new().await;
    shop_with_a_past(&app).await;
    let staff = app.staff().await;
    let mut dead = Vec::new();
    for (kind, queue, error) in [
        ("noop", "low", "slow"),
        ("noop", "low", "lost"),
        ("tick", "low", "slow"),
        ("noop", "high", "slow"),
        ("noop", "low", "slow"),
    ] {
        dead.push(dead_job(&app, kind, queue, error).await);
    }
    // Two dead jobs of one order are two events of it.
    sql(&app, "update jobs set order_id = (select id from orders where status = 'processing') where error = 'slow' and kind = 'noop'").await;

    for wrong in [json!(0), json!(10_001), json!("all")] {
        staff
            .post("/v1/ops/jobs/retry", json!({ "limit": wrong }))
            .await
            .refused(422, if wrong.is_string() { "invalid_value" } else { "invalid_limit" });
    }
    staff.post("/v1/ops/jobs/retry", json!({ "limit": 5, "state": "dead" })).await.refused(422, "unknown_field");
    assert_eq!(ids(&staff.get("/v1/ops/jobs?state=dead").await.done(200)).len(), 6, "nothing has changed");

    let asked = json!({ "kind": "noop", "queue": "low", "error": "slow", "limit": 10 });
    let retried = staff.post_with_key("/v1/ops/jobs/retry", "many", asked.clone()).await.done(200);
    assert_eq!(retried.body, json!({ "retried": 2 }));
    assert_eq!(staff.post_with_key("/v1/ops/jobs/retry", "many", asked).await.done(200).body, json!({ "retried": 2 }));
    let ready = staff.get("/v1/ops/jobs?state=ready&queue=low").await.done(200);
    assert_eq!(ids(&ready), [&dead[4], &dead[0]]);

    // The oldest first, and no more than asked for: the payment of the order is older than the rest.
    let one = staff.post("/v1/ops/jobs/retry", json!({ "limit": 1 })).await.done(200);
    assert_eq!(one.body, json!({ "retried": 1 }));
    let left = staff.get("/v1/ops/jobs?state=dead").await.done(200);
    assert_eq!(ids(&left), [&dead[3], &dead[2], &dead[1]]);
    let order: Uuid =
        sqlx::query_scalar("select id from orders where status = 'processing'").fetch_one(&app.db).await.unwrap();
    let events = timeline(&app, &format!("/v1/orders/{order}")).await;
    assert_eq!(events, ["placed", "processing", "job_retried", "job_retried", "job_retried"]);
}

#[tokio::test]
async fn workers_that_live_are_shown_with_what_they_run() {
    let app = TestApp::new().await;
    sql(
        &app,
        "insert into workers (id, host, pid, version, queues, kinds, heartbeat_at) values
         ('00000000-0000-7000-8000-000000000001', 'mill-1', 11, '0.1.0', '{high,default}', '{noop/1}', now()),
         ('00000000-0000-7000-8000-000000000002', 'mill-2', 12, '0.1.0', '{low}', '{noop/1}', now() - interval '1 minute');
         insert into jobs (queue, kind, args, state, max_attempt, worker, lease_until, started_at) values
         ('high', 'noop', '{}', 'running', 8, '00000000-0000-7000-8000-000000000001', now() + interval '10 s', now())",
    )
    .await;
    let workers = app.staff().await.get("/v1/ops/workers").await.done(200);

    let data = workers.body["data"].as_array().unwrap();
    assert_eq!(data.len(), 1, "one has been silent for long: {data:?}");
    let worker = &data[0];
    assert_eq!((&worker["host"], &worker["pid"], &worker["version"]), (&json!("mill-1"), &json!(11), &json!("0.1.0")));
    assert_eq!((&worker["queues"], &worker["running"]), (&json!(["high", "default"]), &json!(1)));
    assert_eq!(worker["running_jobs"][0]["kind"], "noop");
    assert!(worker["since"].is_string() && worker["last_heartbeat"].is_string());
}

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
    let metrics = JobMetrics::new(&registry).unwrap();
    let job = held();
    for outcome in [outcome::DONE, outcome::RETRIED, outcome::DEAD, outcome::LEASE_LOST] {
        metrics.claimed(&job);
        metrics.ended(&job, outcome, Duration::from_millis(30));
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
fn held() -> LeasedJob {
    LeasedJob {
        id: JobId::new(),
        attempt: 1,
        max_attempt: 8,
        queue: Queue::Default,
        kind: "noop".to_owned(),
        version: 1,
        args: json!({}),
        order_id: None,
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

/// Checks the page as Prometheus's own tool does.
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
