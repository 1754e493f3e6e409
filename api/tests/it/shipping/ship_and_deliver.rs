//! The jobs that ship and deliver an order do so once, whatever fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use shared::orders::ship;
use shared::queue::{Lease, LeasedJob};
use shared::shipping::simulated::SimulatedCarrier;
use shared::shipping::{Carrier, CarrierError};
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use testkit::until::until;
use uuid::Uuid;
use worker::error::{Done, JobError};

use super::{SHIPPING, claim_one, paid_order, status};

/// A carrier that books, but whose answers are lost while `mumbles` is true.
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

#[tokio::test]
async fn a_paid_order_is_shipped_from_each_warehouse_and_delivered() {
    let app = TestApp::new().await;
    let (near, far) = (app.warehouse("NEAR", 1).await, app.warehouse("FAR", 2).await);
    let (mug, pot) = (app.bare_product("mug", 1250).await, app.bare_product("pot", 4000).await);
    app.stock(mug, near, 5).await;
    app.stock(pot, far, 5).await;
    let alice = app.customer().await;
    let lines = json!([{ "sku": "mug", "quantity": 2 }, { "sku": "pot", "quantity": 1 }]);
    let (_, path) = paid_order(&app, &alice, lines).await;
    let waits = alice.get(&path).await.done(200);
    assert_eq!((&waits.body["next_action"]["what"], &waits.body["shipments"]), (&json!("shipping"), &json!([])));
    let hands = ManualWorker::of(&app);

    assert_eq!(hands.attempt(&claim_one(&hands).await).await.unwrap(), Done::Recorded);

    let shipped = app.staff().await.get(&path).await.done(200);
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
    assert_eq!((app.shelf(mug).await, app.shelf(pot).await), ((3, 0), (4, 0)));
    assert_eq!(app.count("select count(*) from stock_movements where reason = 'shipped'").await, 2);
    assert_eq!(app.count("select count(*) from jobs where kind = 'ship_order' and state = 'done'").await, 1);

    assert_eq!(hands.attempt(&claim_one(&hands).await).await.unwrap(), Done::Recorded);

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
    let (fourth, fifth) = ((&json!(4), &json!("shipped")), (&json!(5), &json!("delivered")));
    assert_eq!(told[3..], [fourth, fifth]);
    let mut told: Vec<&Value> =
        events[3]["data"]["shipments"].as_array().unwrap().iter().map(|one| &one["tracking_number"]).collect();
    let mut numbers: Vec<&Value> = shipments.iter().map(|one| &one["tracking_number"]).collect();
    told.sort_by_key(|number| number.as_str());
    numbers.sort_by_key(|number| number.as_str());
    assert_eq!(told, numbers);
    assert!(hands.take_all(&SHIPPING).await.is_empty());
}

#[tokio::test]
async fn delivery_waits_for_its_delay() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let (order, _) = paid_order(&app, &alice, json!([{ "sku": "mug", "quantity": 2 }])).await;
    let mut hands = ManualWorker::of(&app);
    hands.ctx.terms.delivery_delay = Duration::from_mins(1);
    hands.attempt(&claim_one(&hands).await).await.unwrap();
    assert_eq!(status(&app, order).await, "shipped");
    assert!(hands.take_all(&SHIPPING).await.is_empty());
    let due = "select count(*) from jobs where kind = 'deliver_order' and state = 'ready'
                  and run_at - created_at between interval '59 s' and interval '61 s'";
    assert_eq!(app.count(due).await, 1);
}

#[tokio::test]
async fn an_attempt_that_lost_its_lease_commits_nothing() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let (order, _) = paid_order(&app, &alice, json!([{ "sku": "mug", "quantity": 2 }])).await;
    let hands = ManualWorker::of(&app);
    let frozen = claim_one(&hands).await;
    hands.lose(&frozen).await;
    let second = claim_one(&hands).await;
    assert_eq!((frozen.id, second.attempt), (second.id, 2));

    assert!(matches!(hands.attempt(&frozen).await, Err(JobError::LeaseLost)));
    assert_eq!((status(&app, order).await.as_str(), app.shelf(mug).await), ("paid", (5, 2)));
    assert_eq!(app.count("select count(*) from shipments where state <> 'booking'").await, 0);
    assert_eq!(app.count("select count(*) from jobs where kind = 'deliver_order'").await, 0);

    assert_eq!(hands.attempt(&second).await.unwrap(), Done::Recorded);
    assert_eq!((status(&app, order).await.as_str(), app.shelf(mug).await), ("shipped", (3, 0)));

    // Late and repeated attempts find nothing to do.
    for job in [&frozen, &second] {
        assert_eq!(hands.attempt(job).await.unwrap(), Done::NothingToDo);
    }
    assert_eq!(app.shelf(mug).await, (3, 0));
    assert_eq!(app.count("select count(*) from simulated_bookings").await, 1);
    assert_eq!(app.count("select count(*) from jobs where kind = 'deliver_order'").await, 1);

    // The same for the delivery.
    let frozen = claim_one(&hands).await;
    hands.lose(&frozen).await;
    let second = claim_one(&hands).await;
    assert!(matches!(hands.attempt(&frozen).await, Err(JobError::LeaseLost)));
    assert_eq!(status(&app, order).await, "shipped");
    assert_eq!(hands.attempt(&second).await.unwrap(), Done::Recorded);
    assert_eq!(status(&app, order).await, "delivered");
}

#[tokio::test]
async fn two_attempts_at_once_ship_once() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 1250, 50).await;
    let alice = app.customer().await;
    let (one, other) = (ManualWorker::of(&app), ManualWorker::of(&app));
    for round in 1..=10 {
        let (order, _) = paid_order(&app, &alice, json!([{ "sku": "mug", "quantity": 1 }])).await;
        let first = claim_one(&one).await;
        one.lose(&first).await;
        let second = claim_one(&other).await;
        let (first, second) = tokio::join!(one.attempt(&first), other.attempt(&second));
        assert!(matches!(first, Err(JobError::LeaseLost) | Ok(Done::NothingToDo)), "{first:?}");
        assert_eq!(second.unwrap(), Done::Recorded);
        assert_eq!(app.shelf(mug).await, (50 - round, 0));
        one.attempt(&claim_one(&one).await).await.unwrap();
        assert_eq!(status(&app, order).await, "delivered");
    }
    assert_eq!(app.count("select count(*) from simulated_bookings").await, 10);
}

#[tokio::test]
async fn without_a_sure_lease_the_carrier_is_not_called() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    paid_order(&app, &alice, json!([{ "sku": "mug", "quantity": 2 }])).await;
    let hands = ManualWorker::of(&app);
    let job = LeasedJob { lease: Arc::new(Lease::new(Instant::now(), Duration::ZERO)), ..claim_one(&hands).await };
    assert!(matches!(hands.attempt(&job).await, Err(JobError::Transient(_))));
    assert_eq!(app.count("select count(*) from simulated_bookings").await, 0);
}

#[tokio::test]
async fn a_carrier_whose_answer_is_lost_is_booked_once() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let (_, path) = paid_order(&app, &alice, json!([{ "sku": "mug", "quantity": 2 }])).await;
    let carrier = Arc::new(Mumbling {
        carrier: SimulatedCarrier::new(app.db.clone(), Duration::ZERO),
        mumbles: AtomicBool::new(true),
    });
    let hands = ManualWorker::with_carrier(&app, carrier.clone());
    let job = claim_one(&hands).await;
    let failed = hands.attempt(&job).await;
    assert!(matches!(failed, Err(JobError::Transient(_))), "{failed:?}");
    assert_eq!(app.shelf(mug).await, (5, 2));
    let waits = alice.get(&path).await.done(200);
    assert_eq!((&waits.body["status"], &waits.body["shipments"][0]["status"]), (&json!("paid"), &json!("booking")));
    assert_eq!(waits.body["shipments"][0]["tracking_number"], Value::Null);

    carrier.mumbles.store(false, Ordering::SeqCst);
    assert_eq!(hands.attempt(&job).await.unwrap(), Done::Recorded);
    let shipped = alice.get(&path).await.done(200);
    let booked: String =
        sqlx::query_scalar("select tracking_number from simulated_bookings").fetch_one(&app.db).await.unwrap();
    assert_eq!(shipped.body["shipments"][0]["tracking_number"], json!(booked));
    assert_eq!(app.shelf(mug).await, (3, 0));
}

#[tokio::test]
async fn an_order_that_is_being_cancelled_is_not_shipped() {
    let app = TestApp::new().await.without_audit("it marks the order as cancelling without the job that cancels");
    let mug = app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let (order, _) = paid_order(&app, &alice, json!([{ "sku": "mug", "quantity": 2 }])).await;
    let hands = ManualWorker::of(&app);
    let job = claim_one(&hands).await;

    // A cancellation is not committed yet. Shipping waits for it and then sees it.
    let mut cancelling = app.db.begin().await.unwrap();
    sqlx::query("update orders set status = 'cancelling'").execute(&mut *cancelling).await.unwrap();
    let commit = async {
        until("shipping waits for the order", async || {
            let waiting =
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
            app.count(waiting).await > 0
        })
        .await;
        cancelling.commit().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(hands.attempt(&job), commit);

    assert_eq!(outcome.unwrap(), Done::NothingToDo);
    assert_eq!((status(&app, order).await.as_str(), app.shelf(mug).await), ("cancelling", (5, 2)));
    assert_eq!(app.count("select count(*) from shipments").await, 0);
    assert_eq!(app.count("select count(*) from simulated_bookings").await, 0);
}

#[tokio::test]
async fn an_order_whose_shipments_are_open_cannot_be_cancelled() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let (order, path) = paid_order(&app, &alice, json!([{ "sku": "mug", "quantity": 2 }])).await;
    let cancel = format!("{path}/cancel");

    // The start of shipping is not committed yet. Cancelling waits for it and then sees it.
    let mut shipping = app.db.begin().await.unwrap();
    assert_eq!(ship::start(&mut shipping, &[order]).await.unwrap().len(), 1);
    let commit = async {
        until("cancelling waits for the order", async || {
            let waiting =
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
            app.count(waiting).await > 0
        })
        .await;
        shipping.commit().await.unwrap();
    };
    let (refused, ()) = tokio::join!(alice.post(&cancel, json!({})), commit);
    refused.refused(409, "order_not_cancellable");

    let hands = ManualWorker::of(&app);
    assert_eq!(hands.attempt(&claim_one(&hands).await).await.unwrap(), Done::Recorded);
    alice.post(&cancel, json!({})).await.refused(409, "order_not_cancellable");
    assert_eq!((status(&app, order).await.as_str(), app.shelf(mug).await), ("shipped", (3, 0)));
}

#[tokio::test]
async fn of_shipping_and_cancelling_exactly_one_wins() {
    let app = TestApp::new().await;
    let mug = app.product("mug", 1250, 100).await;
    let alice = app.customer().await;
    let hands = ManualWorker::of(&app);
    let (mut shipped, mut cancelled) = (0, 0);
    for round in 0..48 {
        let (order, path) = paid_order(&app, &alice, json!([{ "sku": "mug", "quantity": 1 }])).await;
        let job = claim_one(&hands).await;
        let ship = async {
            // A varying delay, so that sometimes shipping is first and sometimes cancelling.
            for _ in 0..round % 16 {
                app.count("select 1::bigint").await;
            }
            hands.attempt(&job).await
        };
        let cancel = format!("{path}/cancel");
        let (ran, asked) = tokio::join!(ship, alice.post(&cancel, json!({})));
        let to = status(&app, order).await;
        match (ran.unwrap(), asked.status.as_u16(), to.as_str()) {
            (Done::Recorded, 409, "shipped") => {
                shipped += 1;
                hands.attempt(&claim_one(&hands).await).await.unwrap();
            }
            (Done::NothingToDo, 202, "cancelling") => cancelled += 1,
            other => panic!("round {round}: {other:?}"),
        }
    }
    assert_eq!(app.shelf(mug).await, (100 - shipped, cancelled));
    assert_eq!(app.count("select count(*) from simulated_bookings").await, shipped);
    assert_eq!(app.count("select count(*) from shipments").await, shipped);
    assert!(shipped > 0 && cancelled > 0, "{shipped} were shipped and {cancelled} cancelled");
}
