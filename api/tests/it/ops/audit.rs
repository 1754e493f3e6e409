//! `/v1/ops/audit`, and the audit itself.

use futures::future::join_all;
use serde_json::{Value, json};
use shared::audit::Report;
use testkit::app::TestApp;
use testkit::person::{Person, Reply};
use testkit::until::until;
use uuid::Uuid;

use super::{shop_with_a_past, sql};
use crate::process::Process;

/// As by the clock.
async fn run(app: &TestApp) -> Report {
    shared::audit::run(&mut app.db.acquire().await.unwrap()).await.unwrap()
}

/// The violated invariants of a report.
fn broken(report: &Value) -> Vec<&str> {
    let invariants = report["invariants"].as_array().unwrap();
    invariants.iter().filter(|one| one["violations"] != 0).map(|one| one["name"].as_str().unwrap()).collect()
}

/// For each invariant: SQL that violates it and SQL that repairs it.
const SABOTAGE: [(&str, &str, &str); 30] = [
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
        "no_key_of_an_inactive_account_is_usable",
        "with made as (
             insert into users (kind, email, password_hash, name, active)
             values ('service', 'robot@service.invalid', '*', 'Robot', false) returning id)
         insert into api_keys (user_id, name, prefix, hash, scopes, created_by, expires_at)
         select id, 'k', 'mr_test_00000000', decode(repeat('00', 32), 'hex'), '{ops:read}', id, now() + interval '1 day'
           from made",
        "update api_keys set revoked_at = now()",
    ),
    (
        "rows_have_their_parents",
        "insert into order_items (order_id, line, product_id, sku, name, quantity, unit_price_minor)
         select uuidv7(), 1, id, sku, name, 1, 1 from products limit 1",
        "delete from order_items where order_id not in (select id from orders)",
    ),
    (
        "rows_have_their_parents",
        "update order_items set product_id = uuidv7() where order_id = (select id from orders where status = 'pending')",
        "update order_items i set product_id = (select id from products p where p.sku = i.sku)",
    ),
    (
        "rows_have_their_parents",
        "insert into reservation_lines (reservation_id, product_id, warehouse_id, quantity)
         select uuidv7(), product_id, warehouse_id, 1 from inventory limit 1",
        "delete from reservation_lines where reservation_id not in (select id from reservations)",
    ),
    (
        "rows_have_their_parents",
        "insert into stock_movements (product_id, warehouse_id, reserved_delta, reason) values (uuidv7(), uuidv7(), 1, 'reserved')",
        "alter table stock_movements disable trigger append_only;
         delete from stock_movements where product_id not in (select product_id from inventory);
         alter table stock_movements enable trigger append_only",
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
        "update simulated_charges set state = 'refunded' where key = (select c.id from charges c join orders o on o.id = c.order_id where o.status = 'paid')",
        "update simulated_charges set state = 'charged'",
    ),
    (
        "the_provider_charged_each_sale_once",
        "insert into simulated_charges (key, amount_minor, currency, state) values (gen_random_uuid(), 2400, 'USD', 'charged')",
        "delete from simulated_charges where key not in (select id from charges)",
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
        "delete from order_events where type = 'placed' and order_id = (select id from orders where status = 'pending')",
        "insert into order_events (order_id, sequence, type) select id, 1, 'placed' from orders where status = 'pending'",
    ),
    (
        "every_event_is_in_the_feed_once",
        "update feed_head set seen = pg_current_snapshot()",
        "update feed_head set seen = '3:3:'",
    ),
    (
        "every_event_is_in_the_feed_once",
        "insert into feed (position, subject, sequence, type, created_at) values (1, uuidv7(), 1, 'order.placed', now())",
        "delete from feed",
    ),
    (
        "feed_keeps_each_orders_order",
        "insert into feed (position, subject, sequence, type, created_at) select 9 - sequence, order_id, sequence, 'order.' || type, created_at from order_events where order_id = (select id from orders where status = 'paid')",
        "delete from feed",
    ),
    (
        "every_pending_delivery_has_a_pump_or_waits",
        "insert into webhook_endpoints (id, url, types, after_position, created_by, created_by_name) values (uuidv7(), 'x', '{*}', 0, uuidv7(), 'x');
         insert into webhook_pumps (endpoint_id, shard) select id, 0 from webhook_endpoints;
         insert into webhook_bodies (position, body) values (1, '{}');
         insert into webhook_deliveries (endpoint_id, position, subject, sequence, type, at, shard, next_attempt_at)
         select id, 1, id, 1, 'webhook.test', now(), 0, now() - interval '2 minutes' from webhook_endpoints",
        "delete from webhook_endpoints; delete from webhook_bodies",
    ),
    (
        "nothing_is_delivered_out_of_order",
        "insert into webhook_endpoints (id, url, types, after_position, created_by, created_by_name) values (uuidv7(), 'x', '{*}', 0, uuidv7(), 'x');
         insert into webhook_bodies (position, body) values (1, '{}'), (2, '{}');
         insert into webhook_deliveries (endpoint_id, position, subject, sequence, type, at, shard, next_attempt_at, state, ended_at, delivered_at)
         select id, n, id, n, 'webhook.test', now(), 0, now(), 'delivered', now(), now() - make_interval(secs => n) from webhook_endpoints, generate_series(1, 2) n",
        "delete from webhook_endpoints; delete from webhook_bodies",
    ),
];

#[tokio::test]
async fn the_audit_catches_whatever_breaks_an_invariant_when_it_is_seen_twice() {
    let app = TestApp::new().await;
    shop_with_a_past(&app).await;
    app.assert_clean().await;

    for (invariant, sabotage, repair) in SABOTAGE {
        sql(&app, sabotage).await;
        let first = run(&app).await;
        assert_eq!(first.violations, 0, "{invariant} is only suspected after one look");
        let second = json!(run(&app).await);
        assert!(broken(&second).contains(&invariant), "{sabotage} is not seen as {invariant}: {second:#}");

        sql(&app, repair).await;
        let mended = run(&app).await;
        assert_eq!(mended.violations, 0, "{repair} mends {invariant}: {mended:#?}");
    }
    let names: std::collections::BTreeSet<&str> = SABOTAGE.iter().map(|(name, ..)| *name).collect();
    let report = run(&app).await;
    assert_eq!(
        names,
        report.invariants.iter().map(|one| one.name.as_str()).collect(),
        "each invariant has its sabotage"
    );
}

#[tokio::test]
async fn the_audit_adds_up_only_what_is_not_in_the_checkpoints_yet() {
    let app = TestApp::new().await.without_audit("it damages the stock");
    shop_with_a_past(&app).await;
    let two_hours_older = "alter table stock_movements disable trigger append_only;
        update stock_movements set id = overlay(id::text placing '00000000-0000' from 1 for 13)::uuid";
    sql(&app, two_hours_older).await;
    app.assert_clean().await;

    // The deleted movements are in the checkpoints. So the sums stay the same, and later movements are added.
    sql(&app, "delete from stock_movements where reason not in ('shipped', 'released')").await;
    let body = json!({ "items": [{ "sku": "mug", "quantity": 2 }], "payment_token": "tok_ok", "shipping_address": { "city": "Bath" } });
    app.customer().await.post("/v1/orders", body).await.done(201);
    app.assert_books_balance().await;

    sql(&app, "update inventory set on_hand = on_hand + 1").await;
    for _ in 0..2 {
        run(&app).await;
    }
    let report = json!(run(&app).await);
    assert_eq!(broken(&report), ["stock_is_the_sum_of_its_movements"], "damage is not summed into a checkpoint");
}

/// Starts a full audit, waits for its end, and answers it.
async fn full_audit(staff: &Person<'_>) -> Value {
    let started = staff.post("/v1/ops/audit/runs", json!({})).await.done(202);
    ended(staff, started.id()).await
}

async fn ended(staff: &Person<'_>, id: &str) -> Value {
    let mut run = Value::Null;
    until("the audit is done", async || {
        run = staff.get(&format!("/v1/ops/audit/runs/{id}")).await.done(200).body;
        run["state"] == "done"
    })
    .await;
    run
}

#[tokio::test]
async fn the_audit_is_answered_as_it_last_ran_and_runs_in_full_when_it_is_started() {
    let app = TestApp::new().await.without_audit("it damages the stock");
    shop_with_a_past(&app).await;
    let staff = app.staff().await;

    let first = staff.get("/v1/ops/audit").await.done(200);
    assert_eq!(first.body["violations"], 0, "without a run before it runs now");
    assert_eq!(first.body["invariants"].as_array().unwrap().len(), 17);

    sql(&app, "update inventory set on_hand = on_hand + 1").await;
    assert_eq!(staff.get("/v1/ops/audit").await.done(200).body, first.body, "the last run is answered as it was");
    let full = full_audit(&staff).await;
    assert_eq!(broken(&full), ["stock_is_the_sum_of_its_movements"]);
    assert_eq!(full["violations"], 1);
    let found = &full["invariants"][1];
    assert_eq!((&found["violations"], &found["offenders"][0]["on_hand"]), (&json!(1), &json!(49)));
    let last = staff.get("/v1/ops/audit").await.done(200).body;
    assert_eq!((&last["ran_at"], &last["invariants"]), (&full["ran_at"], &full["invariants"]));
    let listed = staff.get("/v1/ops/audit/runs").await.done(200);
    assert!(listed.body["data"].as_array().unwrap().contains(&full), "{listed:#?}");
    let actions = staff.get("/v1/ops/actions?action=audit.started").await.done(200);
    assert_eq!(actions.body["data"][0]["subject_id"], full["id"], "{actions:#?}");

    staff.get("/v1/ops/audit?fresh=true").await.refused(422, "unknown_field");
    let nothing = format!("/v1/ops/audit/runs/{}", Uuid::now_v7());
    staff.get(&nothing).await.refused(404, "audit_run_not_found");
    app.customer().await.post("/v1/ops/audit/runs", json!({})).await.refused(403, "forbidden");
}

/// Keeps every audit waiting until it is rolled back.
async fn hold_audits(app: &TestApp) -> sqlx::PgTransaction<'static> {
    let mut held = app.db.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(hashtextextended(current_schema()::text, 1635083369))")
        .execute(&mut *held)
        .await
        .unwrap();
    held
}

#[tokio::test]
async fn full_audits_run_one_at_a_time_over_all_processes_and_leave_the_pools_alone() {
    let app = TestApp::with(&["--database-max-connections=2"]).await;
    let other = TestApp::on(&app.database_url, &["--database-max-connections=2"]).await;
    let staff = app.staff().await;
    let there = Person { app: &other, ..staff.clone() };
    let held = hold_audits(&app).await;

    let first = staff.post_with_key("/v1/ops/audit/runs", "k", json!({})).await.done(202);
    assert_eq!(first.body, json!({ "id": first.id(), "state": "running" }));
    let (staff, there) = (&staff, &there);
    let others = (0..20).map(|n| async move {
        let who = if n % 2 == 0 { staff } else { there };
        who.post("/v1/ops/audit/runs", json!({})).await.done(202).body
    });
    assert!(join_all(others).await.iter().all(|started| *started == first.body));
    for who in [staff, there] {
        join_all((0..20).map(|_| async { who.get("/v1/products").await.done(200) })).await;
        let run = who.get(&format!("/v1/ops/audit/runs/{}", first.id())).await.done(200).body;
        assert_eq!(run["state"], "running");
        assert_eq!(who.get("/v1/ops/audit/runs").await.done(200).body["data"][0], run);
    }
    held.rollback().await.unwrap();
    assert_eq!(ended(there, first.id()).await["violations"], 0);
    let again = staff.post_with_key("/v1/ops/audit/runs", "k", json!({})).await.done(202);
    assert_eq!((again.header("idempotent-replayed"), again.id()), ("true", first.id()));
    let mut next = there.post("/v1/ops/audit/runs", json!({})).await;
    until("the next one starts", async || {
        if next.status == 503 {
            next = there.post("/v1/ops/audit/runs", json!({})).await;
        }
        next.status == 202
    })
    .await;
    assert_ne!(next.id(), first.id());
    ended(staff, next.id()).await;
}

#[tokio::test]
async fn a_full_audit_whose_process_died_does_not_run_for_ever() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let held = hold_audits(&app).await;
    let (mut process, url) = Process::serve(&app.database_url);
    let start = app.http.post(format!("{url}/v1/ops/audit/runs")).bearer_auth(staff.token.as_ref().unwrap());
    let started = Reply::of(start).await.done(202);
    let path = format!("/v1/ops/audit/runs/{}", started.id());
    assert_eq!(staff.get(&path).await.done(200).body["state"], "running");

    process.child.kill().unwrap();
    process.child.wait().unwrap();
    until("the run is gone", async || staff.get(&path).await.status == 404).await;
    held.rollback().await.unwrap();
    let report = full_audit(&staff).await;
    assert_eq!(report["violations"], 0);
    assert_ne!(report["id"], started.body["id"]);
}
