//! Shipping and delivery: the worker's own handlers on a real database, until stock and orders have left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use shared::inventory::reserve;
use shared::orders::deliver;
use shared::orders::ship::{self, Booked};
use shared::payments::{Outcome, PaymentProvider, ProviderError};
use shared::queue::claim::{self, Claimer};
use shared::queue::doorbell::Doorbell;
use shared::queue::retry::Schedule;
use shared::queue::{self, Lease, LeasedJob, Origin, Plan, Queue, ShipOrder, WorkerId};
use shared::shipping::simulated::SimulatedCarrier;
use shared::shipping::{Carrier, CarrierError, is_open};
use shared::values::{Money, OrderId, UserId};
use sqlx::PgPool;
use uuid::Uuid;
use worker::context::{Context, JobTerms};
use worker::error::{Done, JobError, JobResult};
use worker::fleet::batch::Recording;
use worker::jobs::ship_order::{deliver_order, ship_order};

use crate::orders::{bare_product, count, product, stock, through_a_proxy, warehouse};
use testkit::app::{Person, Reply, TestApp, until};

const PLAN: Plan =
    Plan { delay: Duration::ZERO, max_attempts: 8, origin: Origin { request_id: None, trace_parent: None } };

/// Nobody is charged here.
struct NoProvider;

impl PaymentProvider for NoProvider {
    fn charge<'a>(&'a self, _: Uuid, _: Money, _: &'a str) -> BoxFuture<'a, Result<Outcome, ProviderError>> {
        unreachable!("shipping charges nobody")
    }

    fn find(&self, _: Uuid) -> BoxFuture<'_, Result<Option<Outcome>, ProviderError>> {
        unreachable!("shipping charges nobody")
    }

    fn void(&self, _: Uuid) -> BoxFuture<'_, Result<Outcome, ProviderError>> {
        unreachable!("shipping charges nobody")
    }
}

/// A carrier that books, and whose answer is lost as long as it is told so.
struct Mumbling {
    carrier: SimulatedCarrier,
    mumbles: AtomicBool,
}

impl Carrier for Mumbling {
    fn book(&self, key: Uuid) -> BoxFuture<'_, Result<String, CarrierError>> {
        async move {
            let number = self.carrier.book(key).await?;
            if self.mumbles.load(Ordering::SeqCst) { Err(CarrierError("no answer".to_owned())) } else { Ok(number) }
        }
        .boxed()
    }
}

/// A worker's insides, whose jobs the test takes in hand one by one.
struct ManualWorker {
    ctx: Context,
    claimer: Claimer,
}

impl ManualWorker {
    fn new(app: &TestApp) -> Self {
        Self::with(app.db.clone(), Arc::new(SimulatedCarrier::new(app.db.clone(), Duration::ZERO)))
    }

    fn with(db: PgPool, carrier: Arc<dyn Carrier>) -> Self {
        let terms = JobTerms {
            max_attempts: 8,
            retry: Schedule { initial: Duration::from_secs(1), max: Duration::from_mins(5), budget: 8 },
            delivery_delay: Duration::ZERO,
        };
        let doorbell = Doorbell::new(None, "test").unwrap();
        let kinds = vec!["ship_order/1".to_owned(), "deliver_order/1".to_owned()];
        let claimer = Claimer { worker: WorkerId(Uuid::now_v7()), lease: Duration::from_mins(1), kinds };
        Self { ctx: Context::new(db, doorbell, Arc::new(NoProvider), carrier, terms), claimer }
    }

    async fn claim(&self) -> Vec<LeasedJob> {
        let mut conn = self.ctx.db.acquire().await.unwrap();
        claim::next(&mut conn, &self.claimer, &Queue::ALL.map(|queue| (queue, 1000)), 1000).await.unwrap()
    }

    async fn claim_one(&self) -> LeasedJob {
        let mut jobs = self.claim().await;
        assert_eq!(jobs.len(), 1, "{jobs:#?}");
        jobs.remove(0)
    }

    async fn run(&self, job: &LeasedJob) -> JobResult {
        match job.kind.as_str() {
            "ship_order" => ship_order(job, &self.ctx).await,
            "deliver_order" => deliver_order(job, &self.ctx).await,
            kind => panic!("{kind} is not ours"),
        }
    }
}

/// The sweep has found that the job's worker is lost.
async fn lose_leases(app: &TestApp) {
    let sql = "update jobs set state = 'ready', lease_until = null where state = 'running'";
    sqlx::query(sql).execute(&app.db).await.unwrap();
}

/// As a worker leaves an order that it has charged.
async fn pay(app: &TestApp, order: &Reply) -> OrderId {
    let id: OrderId = order.id().parse().unwrap();
    let mut tx = app.db.begin().await.unwrap();
    for sql in [
        "update jobs set state = 'done', finished_at = now() where order_id = $1",
        "update orders set status = 'paid', event_sequence = 2, version = 2, payment_token = null where id = $1",
        "insert into order_events (order_id, sequence, type) values ($1, 2, 'paid')",
        "with charge as (
             insert into charges (order_id, amount_minor, currency, state)
             select id, total_minor, currency, 'charged' from orders where id = $1 returning id, amount_minor, currency)
         insert into simulated.charges (key, amount_minor, currency, state) select *, 'charged' from charge",
    ] {
        sqlx::query(sql).bind(id.0).execute(&mut *tx).await.unwrap();
    }
    reserve::post_of_orders(&mut tx, &[id]).await.unwrap();
    _ = queue::enqueue(&mut tx, &ShipOrder { order_id: id }, &PLAN).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn paid_order(app: &TestApp, who: &Person<'_>, lines: Value) -> (OrderId, String) {
    let placed = who.place(lines).await.done(201);
    (pay(app, &placed).await, placed.header("location").to_owned())
}

async fn status(app: &TestApp, order: OrderId) -> String {
    sqlx::query_scalar("select status from orders where id = $1").bind(order.0).fetch_one(&app.db).await.unwrap()
}

/// On hand, and reserved.
async fn shelf(app: &TestApp, product: Uuid) -> (i64, i64) {
    sqlx::query_as("select sum(on_hand), sum(reserved) from inventory where product_id = $1")
        .bind(product)
        .fetch_one(&app.db)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_paid_order_is_shipped_from_each_warehouse_and_delivered() {
    let app = TestApp::new().await;
    let (near, far) = (warehouse(&app, "NEAR", 1).await, warehouse(&app, "FAR", 2).await);
    let (mug, pot) = (bare_product(&app, "mug", 1250).await, bare_product(&app, "pot", 4000).await);
    stock(&app, mug, near, 5).await;
    stock(&app, pot, far, 5).await;
    let alice = app.customer().await;
    let lines = json!([{ "sku": "mug", "quantity": 2 }, { "sku": "pot", "quantity": 1 }]);
    let (_, path) = paid_order(&app, &alice, lines).await;
    let waits = alice.get(&path).await.done(200);
    assert_eq!((&waits.body["next_action"]["what"], &waits.body["shipments"]), (&json!("shipping"), &json!([])));
    let hands = ManualWorker::new(&app);

    assert_eq!(hands.run(&hands.claim_one().await).await.unwrap(), Done::Recorded);

    let shipped = alice.get(&path).await.done(200);
    assert_eq!(shipped.body["status"], "shipped");
    assert_eq!(shipped.body["next_action"]["what"], "delivery");
    assert_eq!(shipped.body["next_action"]["by"], "worker");
    let shipments = shipped.body["shipments"].as_array().unwrap();
    let mut from: Vec<Uuid> =
        shipments.iter().map(|one| one["warehouse_id"].as_str().unwrap().parse().unwrap()).collect();
    from.sort();
    let mut expected = [near, far];
    expected.sort();
    assert_eq!(from, expected);
    for shipment in shipments {
        assert_eq!(shipment["status"], "shipped");
        let number = shipment["tracking_number"].as_str().unwrap();
        assert!(number.starts_with("MR") && number.len() == 12, "{number}");
        assert!(shipment["shipped_at"].is_string() && shipment["delivered_at"].is_null());
    }
    assert_ne!(shipments[0]["tracking_number"], shipments[1]["tracking_number"]);
    assert_eq!((shelf(&app, mug).await, shelf(&app, pot).await), ((3, 0), (4, 0)));
    assert_eq!(count(&app, "select count(*) from stock_movements where reason = 'shipped'").await, 2);
    assert_eq!(count(&app, "select count(*) from jobs where kind = 'ship_order' and state = 'done'").await, 1);

    assert_eq!(hands.run(&hands.claim_one().await).await.unwrap(), Done::Recorded);

    let delivered = alice.get(&path).await.done(200);
    assert_eq!((&delivered.body["status"], &delivered.body["next_action"]), (&json!("delivered"), &Value::Null));
    for (before, after) in shipments.iter().zip(delivered.body["shipments"].as_array().unwrap()) {
        assert_eq!(after["status"], "delivered");
        assert_eq!(after["tracking_number"], before["tracking_number"]);
        assert!(after["delivered_at"].is_string());
    }
    let events = alice.get(&format!("{path}/events")).await.done(200);
    let events = events.body["data"].as_array().unwrap();
    let told: Vec<_> = events.iter().map(|event| (&event["sequence"], &event["type"])).collect();
    let (third, fourth) = ((&json!(3), &json!("shipped")), (&json!(4), &json!("delivered")));
    assert_eq!(told[2..], [third, fourth]);
    let mut told: Vec<&Value> =
        events[2]["data"]["shipments"].as_array().unwrap().iter().map(|one| &one["tracking_number"]).collect();
    let mut numbers: Vec<&Value> = shipments.iter().map(|one| &one["tracking_number"]).collect();
    told.sort_by_key(|number| number.as_str());
    numbers.sort_by_key(|number| number.as_str());
    assert_eq!(told, numbers);
    assert!(hands.claim().await.is_empty());
    app.assert_clean().await;
}

#[tokio::test]
async fn delivery_waits_for_its_delay() {
    let app = TestApp::new().await;
    product(&app, "mug", 1250, 5).await;
    let alice = app.customer().await;
    let (order, _) = paid_order(&app, &alice, json!([{ "sku": "mug", "quantity": 2 }])).await;
    let mut hands = ManualWorker::new(&app);
    hands.ctx.terms.delivery_delay = Duration::from_mins(1);
    hands.run(&hands.claim_one().await).await.unwrap();
    assert_eq!(status(&app, order).await, "shipped");
    assert!(hands.claim().await.is_empty());
    let due = "select count(*) from jobs where kind = 'deliver_order' and state = 'ready'
                  and run_at - created_at between interval '59 s' and interval '61 s'";
    assert_eq!(count(&app, due).await, 1);
}

#[tokio::test]
async fn an_attempt_that_lost_its_lease_commits_nothing() {
    let app = TestApp::new().await;
    let mug = product(&app, "mug", 1250, 5).await;
    let alice = app.customer().await;
    let (order, _) = paid_order(&app, &alice, json!([{ "sku": "mug", "quantity": 2 }])).await;
    let hands = ManualWorker::new(&app);
    let frozen = hands.claim_one().await;
    lose_leases(&app).await;
    let second = hands.claim_one().await;
    assert_eq!((frozen.id, second.attempt), (second.id, 2));

    assert!(matches!(hands.run(&frozen).await, Err(JobError::LeaseLost)));
    assert_eq!((status(&app, order).await.as_str(), shelf(&app, mug).await), ("paid", (5, 2)));
    assert_eq!(count(&app, "select count(*) from shipments where state <> 'booking'").await, 0);
    assert_eq!(count(&app, "select count(*) from jobs where kind = 'deliver_order'").await, 0);

    assert_eq!(hands.run(&second).await.unwrap(), Done::Recorded);
    assert_eq!((status(&app, order).await.as_str(), shelf(&app, mug).await), ("shipped", (3, 0)));

    // And again, late and twice: nothing is left to do.
    for job in [&frozen, &second] {
        assert_eq!(hands.run(job).await.unwrap(), Done::NothingToDo);
    }
    assert_eq!(shelf(&app, mug).await, (3, 0));
    assert_eq!(count(&app, "select count(*) from simulated.bookings").await, 1);
    assert_eq!(count(&app, "select count(*) from jobs where kind = 'deliver_order'").await, 1);

    // The same for its delivery.
    let frozen = hands.claim_one().await;
    lose_leases(&app).await;
    let second = hands.claim_one().await;
    assert!(matches!(hands.run(&frozen).await, Err(JobError::LeaseLost)));
    assert_eq!(status(&app, order).await, "shipped");
    assert_eq!(hands.run(&second).await.unwrap(), Done::Recorded);
    assert_eq!(status(&app, order).await, "delivered");
    app.assert_clean().await;
}

#[tokio::test]
async fn two_attempts_at_once_ship_once() {
    let app = TestApp::new().await;
    let mug = product(&app, "mug", 1250, 50).await;
    let alice = app.customer().await;
    let (one, other) = (ManualWorker::new(&app), ManualWorker::new(&app));
    for round in 1..=10 {
        let (order, _) = paid_order(&app, &alice, json!([{ "sku": "mug", "quantity": 1 }])).await;
        let first = one.claim_one().await;
        lose_leases(&app).await;
        let second = other.claim_one().await;
        let (first, second) = tokio::join!(one.run(&first), other.run(&second));
        assert!(matches!(first, Err(JobError::LeaseLost) | Ok(Done::NothingToDo)), "{first:?}");
        assert_eq!(second.unwrap(), Done::Recorded);
        assert_eq!(shelf(&app, mug).await, (50 - round, 0));
        one.run(&one.claim_one().await).await.unwrap();
        assert_eq!(status(&app, order).await, "delivered");
    }
    assert_eq!(count(&app, "select count(*) from simulated.bookings").await, 10);
    app.assert_clean().await;
}

#[tokio::test]
async fn without_a_sure_lease_the_carrier_is_not_called() {
    let app = TestApp::new().await;
    product(&app, "mug", 1250, 5).await;
    let alice = app.customer().await;
    paid_order(&app, &alice, json!([{ "sku": "mug", "quantity": 2 }])).await;
    let hands = ManualWorker::new(&app);
    let job = LeasedJob { lease: Arc::new(Lease::new(Instant::now(), Duration::ZERO)), ..hands.claim_one().await };
    assert!(matches!(hands.run(&job).await, Err(JobError::Transient(_))));
    assert_eq!(count(&app, "select count(*) from simulated.bookings").await, 0);
}

#[tokio::test]
async fn a_carrier_whose_answer_is_lost_is_booked_once() {
    let app = TestApp::new().await;
    let mug = product(&app, "mug", 1250, 5).await;
    let alice = app.customer().await;
    let (_, path) = paid_order(&app, &alice, json!([{ "sku": "mug", "quantity": 2 }])).await;
    let carrier = Arc::new(Mumbling {
        carrier: SimulatedCarrier::new(app.db.clone(), Duration::ZERO),
        mumbles: AtomicBool::new(true),
    });
    let hands = ManualWorker::with(app.db.clone(), carrier.clone());
    let job = hands.claim_one().await;
    let failed = hands.run(&job).await;
    assert!(matches!(failed, Err(JobError::Transient(_))), "{failed:?}");
    assert_eq!(shelf(&app, mug).await, (5, 2));
    let waits = alice.get(&path).await.done(200);
    assert_eq!((&waits.body["status"], &waits.body["shipments"][0]["status"]), (&json!("paid"), &json!("booking")));
    assert_eq!(waits.body["shipments"][0]["tracking_number"], Value::Null);

    carrier.mumbles.store(false, Ordering::SeqCst);
    assert_eq!(hands.run(&job).await.unwrap(), Done::Recorded);
    let shipped = alice.get(&path).await.done(200);
    let booked: String =
        sqlx::query_scalar("select tracking_number from simulated.bookings").fetch_one(&app.db).await.unwrap();
    assert_eq!(shipped.body["shipments"][0]["tracking_number"], json!(booked));
    assert_eq!(shelf(&app, mug).await, (3, 0));
    app.assert_clean().await;
}

#[tokio::test]
async fn an_order_that_is_being_cancelled_is_not_shipped() {
    let app = TestApp::new().await;
    let mug = product(&app, "mug", 1250, 5).await;
    let alice = app.customer().await;
    let (order, _) = paid_order(&app, &alice, json!([{ "sku": "mug", "quantity": 2 }])).await;
    let hands = ManualWorker::new(&app);
    let job = hands.claim_one().await;

    // Somebody cancels, and has not committed yet: shipping waits, and then sees it.
    let mut cancelling = app.db.begin().await.unwrap();
    sqlx::query("update orders set status = 'cancelling'").execute(&mut *cancelling).await.unwrap();
    let commit = async {
        until("shipping waits for the order", async || {
            let waiting =
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
            count(&app, waiting).await > 0
        })
        .await;
        cancelling.commit().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(hands.run(&job), commit);

    assert_eq!(outcome.unwrap(), Done::NothingToDo);
    assert_eq!((status(&app, order).await.as_str(), shelf(&app, mug).await), ("cancelling", (5, 2)));
    assert_eq!(count(&app, "select count(*) from shipments").await, 0);
    assert_eq!(count(&app, "select count(*) from simulated.bookings").await, 0);
}

#[tokio::test]
async fn an_order_whose_shipments_are_open_cannot_be_cancelled() {
    let app = TestApp::new().await;
    let mug = product(&app, "mug", 1250, 5).await;
    let alice = app.customer().await;
    let (order, path) = paid_order(&app, &alice, json!([{ "sku": "mug", "quantity": 2 }])).await;
    let cancel = format!("{path}/cancel");

    // Shipping begins, and has not committed yet: cancelling waits, and then sees it.
    let mut shipping = app.db.begin().await.unwrap();
    assert_eq!(ship::start(&mut shipping, order).await.unwrap().len(), 1);
    let commit = async {
        until("cancelling waits for the order", async || {
            let waiting =
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
            count(&app, waiting).await > 0
        })
        .await;
        shipping.commit().await.unwrap();
    };
    let (refused, ()) = tokio::join!(alice.post(&cancel, json!({})), commit);
    refused.refused(409, "order_not_cancellable");

    let hands = ManualWorker::new(&app);
    assert_eq!(hands.run(&hands.claim_one().await).await.unwrap(), Done::Recorded);
    alice.post(&cancel, json!({})).await.refused(409, "order_not_cancellable");
    assert_eq!((status(&app, order).await.as_str(), shelf(&app, mug).await), ("shipped", (3, 0)));
    app.assert_clean().await;
}

#[tokio::test]
async fn of_shipping_and_cancelling_exactly_one_wins() {
    let app = TestApp::new().await;
    let mug = product(&app, "mug", 1250, 100).await;
    let alice = app.customer().await;
    let hands = ManualWorker::new(&app);
    let (mut shipped, mut cancelled) = (0, 0);
    for round in 0..48 {
        let (order, path) = paid_order(&app, &alice, json!([{ "sku": "mug", "quantity": 1 }])).await;
        let job = hands.claim_one().await;
        let ship = async {
            // Now this one has the start and now that one.
            for _ in 0..round % 16 {
                count(&app, "select 1::bigint").await;
            }
            hands.run(&job).await
        };
        let cancel = format!("{path}/cancel");
        let (ran, asked) = tokio::join!(ship, alice.post(&cancel, json!({})));
        let to = status(&app, order).await;
        match (ran.unwrap(), asked.status.as_u16(), to.as_str()) {
            (Done::Recorded, 409, "shipped") => {
                shipped += 1;
                hands.run(&hands.claim_one().await).await.unwrap();
            }
            (Done::NothingToDo, 202, "cancelling") => cancelled += 1,
            other => panic!("round {round}: {other:?}"),
        }
    }
    assert_eq!(shelf(&app, mug).await, (100 - shipped, cancelled));
    assert_eq!(count(&app, "select count(*) from simulated.bookings").await, shipped);
    assert_eq!(count(&app, "select count(*) from shipments").await, shipped);
    assert!(shipped > 0 && cancelled > 0, "{shipped} were shipped and {cancelled} cancelled");
}

/// Orders whose carrier has been booked: only the recording is missing.
async fn booked_orders(app: &TestApp, hands: &ManualWorker, who: &Person<'_>, number: usize) -> Vec<Booked> {
    let placed = join_all((0..number).map(|_| who.place(json!([{ "sku": "mug", "quantity": 1 }])))).await;
    for order in placed {
        pay(app, &order.done(201)).await;
    }
    let mut booked = Vec::new();
    for job in hands.claim().await {
        let order_id = job.order_id.unwrap();
        let shipments = ship::start(&mut app.db.acquire().await.unwrap(), order_id).await.unwrap();
        assert_eq!(shipments.len(), 1);
        booked.push(Booked { job, order_id, shipments, delivery: PLAN });
    }
    assert_eq!(booked.len(), number);
    booked
}

#[tokio::test]
async fn many_shipments_of_a_hot_product_take_few_statements_together() {
    let app = TestApp::with(&["--max-open-orders", "0"]).await;
    let mug = product(&app, "mug", 1, 200).await;
    let alice = app.customer().await;
    let (proxy, url) = through_a_proxy(&app).await;
    let db = PgPool::connect(&url).await.unwrap();
    let hands = ManualWorker::new(&app);
    let mut taken = Vec::new();
    for number in [1, 1, 64] {
        let booked = booked_orders(&app, &hands, &alice, number).await;
        proxy.take_statements();
        let mut tx = db.begin().await.unwrap();
        let recorded = ship::record(&mut tx, &booked).await.unwrap();
        tx.commit().await.unwrap();
        taken.push(proxy.take_statements());
        assert_eq!((recorded.finished.len(), recorded.rings.len()), (number, number));
        join_all(hands.claim().await.iter().map(|delivery| hands.run(delivery))).await;
    }
    // The first run of each statement also asks about types.
    assert_eq!(taken[1], taken[2], "64 orders took other statements than one: {taken:?}");
    assert!(taken[2] <= 9, "{taken:?}");
    assert_eq!(shelf(&app, mug).await, (134, 0));
    assert_eq!(count(&app, "select count(*) from orders where status = 'delivered'").await, 66);

    // Handlers that end while a recording commits are recorded together by the next one.
    let through = ManualWorker::with(db, Arc::new(SimulatedCarrier::new(app.db.clone(), Duration::ZERO)));
    for last in [false, true] {
        let booked = booked_orders(&app, &through, &alice, 64).await;
        proxy.take_statements();
        let outcomes =
            join_all(booked.into_iter().map(|one| through.ctx.recorder.record(Recording::Booked(one)))).await;
        let statements = proxy.take_statements();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Done::Recorded))), "{outcomes:?}");
        assert!(!last || statements <= 18, "64 orders took {statements} statements");
        join_all(through.claim().await.iter().map(|delivery| through.run(delivery))).await;
    }
    assert_eq!(shelf(&app, mug).await, (6, 0));
    assert_eq!(count(&app, "select count(*) from orders where status = 'delivered'").await, 194);
    app.assert_clean().await;
}

#[tokio::test]
async fn an_order_that_cannot_be_recorded_does_not_fail_its_neighbours() {
    let app = TestApp::with(&["--max-open-orders", "0"]).await;
    let mug = product(&app, "mug", 1, 100).await;
    let alice = app.customer().await;
    let hands = ManualWorker::new(&app);
    let booked = booked_orders(&app, &hands, &alice, 5).await;
    // No way of ours leads there; the batch must survive it all the same.
    let poison = booked[2].order_id;
    sqlx::query("update reservations set state = 'held' where order_id = $1")
        .bind(poison.0)
        .execute(&app.db)
        .await
        .unwrap();
    let outcomes = join_all(booked.into_iter().map(|one| hands.ctx.recorder.record(Recording::Booked(one)))).await;
    let wrong: Vec<usize> = (0..5).filter(|n| !matches!(outcomes[*n], Ok(Done::Recorded))).collect();
    assert_eq!(wrong, [2], "{outcomes:?}");
    assert!(matches!(outcomes[2], Err(JobError::Transient(_))));
    assert_eq!((status(&app, poison).await.as_str(), shelf(&app, mug).await), ("paid", (96, 1)));
    app.assert_books_balance().await;
}

#[tokio::test]
async fn an_order_is_shipped_and_delivered_by_hand() {
    let app = TestApp::new().await;
    let mug = product(&app, "mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let placed = alice.place(json!([{ "sku": "mug", "quantity": 2 }])).await.done(201);
    let hands = ManualWorker::new(&app);
    let by_hand = async |order| {
        let mut tx = app.db.begin().await.unwrap();
        let ring = ship::by_hand(&mut tx, UserId(staff.id), order, &PLAN).await.unwrap();
        tx.commit().await.unwrap();
        ring
    };
    // An order that is not paid stays where it is.
    assert_eq!(by_hand(placed.id().parse().unwrap()).await, None);
    assert!(!deliver::by_hand(&mut app.db.acquire().await.unwrap(), placed.id().parse().unwrap()).await.unwrap());
    assert_eq!(shelf(&app, mug).await, (5, 2));

    let order = pay(&app, &placed).await;
    let job = hands.claim_one().await;
    assert!(by_hand(order).await.is_some());
    assert_eq!(by_hand(order).await, None);
    let shipped = alice.get(placed.header("location")).await.done(200);
    assert_eq!(shipped.body["status"], "shipped");
    assert_eq!(shipped.body["shipments"][0]["status"], "shipped");
    assert_eq!(shipped.body["shipments"][0]["tracking_number"], Value::Null);
    assert_eq!(shelf(&app, mug).await, (3, 0));
    let by_staff = "select count(*) from stock_movements m join users u on u.id = m.actor_id
                     where m.reason = 'shipped' and u.role = 'staff'";
    assert_eq!(count(&app, by_staff).await, 1);

    // The job that would have shipped it finds nothing to do, and books nothing.
    assert_eq!(hands.run(&job).await.unwrap(), Done::NothingToDo);
    assert_eq!(count(&app, "select count(*) from simulated.bookings").await, 0);

    assert!(deliver::by_hand(&mut app.db.acquire().await.unwrap(), order).await.unwrap());
    assert!(!deliver::by_hand(&mut app.db.acquire().await.unwrap(), order).await.unwrap());
    assert_eq!(hands.run(&hands.claim_one().await).await.unwrap(), Done::Recorded);
    let delivered = alice.get(placed.header("location")).await.done(200);
    assert_eq!((&delivered.body["status"], &delivered.body["version"]), (&json!("delivered"), &json!(4)));
    let events = alice.get(&format!("{}/events", placed.header("location"))).await.done(200);
    assert_eq!(events.body["data"].as_array().unwrap().len(), 4);
    app.assert_clean().await;
}

#[tokio::test]
async fn what_the_carrier_has_booked_is_kept_when_somebody_ships_meanwhile() {
    let app = TestApp::new().await;
    let mug = product(&app, "mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let hands = ManualWorker::new(&app);
    let mut booked = booked_orders(&app, &hands, &alice, 1).await.remove(0);
    assert!(is_open(&mut app.db.acquire().await.unwrap(), booked.order_id).await.unwrap());
    let mut tx = app.db.begin().await.unwrap();
    assert!(ship::by_hand(&mut tx, UserId(staff.id), booked.order_id, &PLAN).await.unwrap().is_some());
    tx.commit().await.unwrap();

    let order = booked.order_id;
    booked.shipments[0].tracking_number = Some("MR1234567890".to_owned());
    assert_eq!(hands.ctx.recorder.record(Recording::Booked(booked)).await.unwrap(), Done::Recorded);

    let read = alice.get(&format!("/v1/orders/{order}")).await.done(200);
    assert_eq!(read.body["shipments"][0]["tracking_number"], "MR1234567890");
    assert_eq!(shelf(&app, mug).await, (4, 0));
    assert_eq!(count(&app, "select count(*) from jobs where kind = 'deliver_order'").await, 1);
    app.assert_clean().await;
}
