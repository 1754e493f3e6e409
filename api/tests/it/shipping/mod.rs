//! The jobs that ship and deliver, run one by one.

mod ship_and_deliver;
mod ship_by_hand;
mod ship_together;
mod steps;

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use shared::orders::ship;
use shared::orders::ship::Booked;
use shared::principal::{Principal, Source};
use shared::queue::{LeasedJob, Origin, Plan};
use shared::values::OrderId;
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use testkit::person::{Person, Reply};

pub const SHIPPING: [&str; 2] = ["ship_order", "deliver_order"];

pub const PLAN: Plan =
    Plan { delay: Duration::ZERO, max_attempts: 8, origin: Origin { request_id: None, trace_parent: None } };

pub async fn pay(app: &TestApp, order: &Reply) -> OrderId {
    let id: OrderId = order.id().parse().unwrap();
    ManualWorker::of(app).pay(id).await;
    id
}

/// A staff user as a principal.
pub async fn principal(app: &TestApp, who: &Person<'_>) -> Principal {
    let token = who.token.as_deref().unwrap();
    Principal::person(app.state.identity.authenticate(&app.db, token).await.unwrap(), Source::default())
}

/// Claims the only due job of shipping or delivery.
pub async fn claim_one(hands: &ManualWorker<'_>) -> LeasedJob {
    let mut jobs = hands.take_all(&SHIPPING).await;
    assert_eq!(jobs.len(), 1, "{jobs:#?}");
    jobs.remove(0)
}

pub async fn paid_order(app: &TestApp, who: &Person<'_>, lines: Value) -> (OrderId, String) {
    let placed = who.place(lines).await.done(201);
    (pay(app, &placed).await, placed.header("location").to_owned())
}

pub async fn status(app: &TestApp, order: OrderId) -> String {
    sqlx::query_scalar("select status from orders where id = $1").bind(order.0).fetch_one(&app.db).await.unwrap()
}

/// Paid orders with booked shipments that are not recorded yet.
pub async fn booked_orders(app: &TestApp, hands: &ManualWorker<'_>, who: &Person<'_>, number: usize) -> Vec<Booked> {
    let placed = join_all((0..number).map(|_| who.place(json!([{ "sku": "mug", "quantity": 1 }])))).await;
    for order in placed {
        pay(app, &order.done(201)).await;
    }
    let mut booked = Vec::new();
    for job in hands.take_all(&SHIPPING).await {
        let order_id = OrderId(job.subject.unwrap());
        let mut opened = ship::start(&mut app.db.acquire().await.unwrap(), &[order_id]).await.unwrap();
        let shipments = opened.remove(&order_id).unwrap_or_default();
        assert_eq!(shipments.len(), 1);
        booked.push(Booked { job, order_id, shipments, delivery: PLAN });
    }
    assert_eq!(booked.len(), number);
    booked
}
