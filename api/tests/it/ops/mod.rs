//! The routes of `/v1/ops`, and the metrics.

mod audit;
mod bulk;
mod jobs;
mod metrics;
mod numbers;
mod queues;
mod versions;
mod workers;

use serde_json::json;
use sqlx::AssertSqlSafe;
use testkit::app::TestApp;
use uuid::Uuid;

/// One product and five orders for it: pending, paid, delivered, cancelled, and one that waits for staff.
pub async fn shop_with_a_past(app: &TestApp) {
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

/// Writes all rows of an order in this state, as the API and workers would.
pub async fn live(app: &TestApp, order: &str, status: &str) {
    let charged = "insert into charges (order_id, amount_minor, currency, state) select id, total_minor, currency, 'charged' from orders where id = $1;
                   insert into simulated_charges (key, amount_minor, currency, state) select id, amount_minor, currency, 'charged' from charges where order_id = $1;
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

pub async fn sql(app: &TestApp, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&app.db).await.unwrap();
}

/// Writes a dead job with two failed attempts and returns its id.
pub async fn dead_job(app: &TestApp, kind: &str, queue: &str, error: &str) -> String {
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
