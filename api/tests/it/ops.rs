//! What operators see and do: the audit, queues, jobs, workers, metrics.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::support::TestApp;

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
