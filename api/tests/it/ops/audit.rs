//! `/v1/ops/audit`, and the audit itself.

use serde_json::{Value, json};
use testkit::app::TestApp;

use super::{shop_with_a_past, sql};

/// The violated invariants of a report.
fn broken(report: &Value) -> Vec<&str> {
    let invariants = report["invariants"].as_array().unwrap();
    invariants.iter().filter(|one| one["violations"] != 0).map(|one| one["name"].as_str().unwrap()).collect()
}

/// For each invariant: SQL that violates it and SQL that repairs it.
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
        shared::audit::run(&app.db).await.unwrap();
    }
    let report = json!(shared::audit::run(&app.db).await.unwrap());
    assert_eq!(broken(&report), ["stock_is_the_sum_of_its_movements"], "damage is not summed into a checkpoint");
}

#[tokio::test]
async fn the_audit_is_answered_as_it_last_ran_or_fresh() {
    let app = TestApp::new().await.without_audit("it damages the stock");
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
