//! The payment job charges an order once, whatever fails.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join;
use serde_json::json;
use shared::payments::{Outcome, PaymentProvider};
use shared::values::{Address, Money, PaymentToken};
use testkit::app::TestApp;
use testkit::manual_worker::{ManualWorker, assert_transient};
use testkit::providers::{Gated, Stops, simulated};
use uuid::Uuid;
use worker::error::{Done, JobError};

#[tokio::test]
async fn an_order_is_charged_shipped_and_delivered() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let hands = ManualWorker::of(&app);
    let order = alice.order("mug", "tok_ok").await;
    assert_eq!(alice.see(&order).await["payment"], json!(null));

    assert_eq!(hands.run_one("process_payment").await.unwrap(), Done::Recorded);

    let paid = alice.see(&order).await;
    assert_eq!(paid["status"], "paid");
    assert_eq!((&paid["payment"]["status"], &paid["payment"]["manual"]), (&json!("charged"), &json!(false)));
    assert_eq!(paid["payment"]["amount"], json!({ "amount": 2500, "currency": "USD" }));
    assert!(paid["payment"]["at"].as_str().unwrap().ends_with('Z'));
    assert_eq!((&paid["next_action"]["what"], &paid["next_action"]["by"]), (&json!("shipping"), &json!("worker")));
    assert_eq!(app.shelves().await, (5, 2), "posted, and still here");
    let token: Option<String> =
        sqlx::query_scalar("select payment_token from orders").fetch_one(&app.db).await.unwrap();
    assert_eq!(token, None, "it is erased after the charge");
    app.assert_clean().await;

    hands.run().await;
    let delivered = alice.see(&order).await;
    assert_eq!((&delivered["status"], &delivered["payment"]), (&json!("delivered"), &paid["payment"]));
    assert_eq!(app.shelves().await, (3, 0));
    assert_eq!(app.books().await, ["charged"]);
    assert_eq!(alice.story(&order).await, ["placed", "processing", "paid", "shipped", "delivered"]);
}

#[tokio::test]
async fn a_declined_payment_cancels_the_order_and_gives_the_stock_back() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    for (token, reason) in [("tok_declined", "card_declined"), ("tok_visa", "unknown_token")] {
        let order = alice.order("mug", token).await;

        assert_eq!(ManualWorker::of(&app).run_one("process_payment").await.unwrap(), Done::Recorded);

        let cancelled = alice.see(&order).await;
        assert_eq!(cancelled["status"], "cancelled");
        assert_eq!(cancelled["cancel_reason"], "payment_declined");
        assert_eq!(cancelled["payment"]["status"], "declined");
        assert_eq!(cancelled["next_action"], json!(null));
        assert_eq!(app.shelves().await, (5, 0));
        assert_eq!(alice.story(&order).await, ["placed", "processing", "cancelled"]);
        let events = alice.get(&format!("{order}/events")).await.body;
        assert_eq!(events["data"][2]["data"], json!({ "reason": "payment_declined", "declined": reason, "by": null }));
    }
    assert_eq!(app.jobs("ship_order").await, 0);
}

#[tokio::test]
async fn a_flaky_payment_is_tried_again_and_charged_once() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let order = alice.order("mug", "tok_flaky_2").await;
    let hands = ManualWorker::of(&app);

    for attempt in 1..=2 {
        assert_transient(&hands.run_one("process_payment").await, "not available");
        let waiting = alice.see(&order).await;
        assert_eq!((&waiting["status"], &waiting["payment"]["status"]), (&json!("processing"), &json!("pending")));
        assert_eq!(waiting["next_action"]["by"], "worker", "after {attempt} failures");
        assert_eq!(app.books().await, [""; 0]);
    }
    hands.run_one("process_payment").await.unwrap();

    assert_eq!(alice.see(&order).await["status"], "paid");
    assert_eq!(app.books().await, ["charged"]);
    assert_eq!(alice.story(&order).await, ["placed", "processing", "paid"], "processing began once");
}

#[tokio::test]
async fn a_charge_whose_answer_timed_out_is_found_and_not_repeated() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let provider = Gated::new(&app, Stops::Never);
    let hands = ManualWorker::with_provider(&app, provider.clone());
    let order = alice.order("mug", "tok_timeout_charged").await;

    assert_transient(&hands.run_one("process_payment").await, "not known");
    assert_eq!(alice.see(&order).await["status"], "processing");
    hands.run_one("process_payment").await.unwrap();

    assert_eq!(alice.see(&order).await["status"], "paid");
    assert_eq!((provider.charges.load(Ordering::SeqCst), app.books().await), (1, vec!["charged".to_owned()]));
}

#[tokio::test]
async fn a_charge_that_was_lost_on_its_way_is_asked_for_and_repeated() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let provider = Gated::new(&app, Stops::Never);
    let hands = ManualWorker::with_provider(&app, provider.clone());
    let order = alice.order("mug", "tok_timeout_lost").await;

    assert_transient(&hands.run_one("process_payment").await, "not known");
    assert_eq!(app.books().await, [""; 0]);
    hands.run_one("process_payment").await.unwrap();

    assert_eq!(alice.see(&order).await["status"], "paid");
    assert_eq!((provider.charges.load(Ordering::SeqCst), app.books().await), (2, vec!["charged".to_owned()]));
}

#[tokio::test]
async fn a_payment_that_never_works_goes_to_a_person_and_on_when_it_is_retried() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let hands = ManualWorker::of(&app);
    let hopeless = alice.order("mug", "tok_unavailable").await;
    let patient = alice.order("mug", "tok_flaky_9").await;

    hands.run().await;

    for order in [&hopeless, &patient] {
        let stuck = alice.see(order).await;
        assert_eq!(stuck["status"], "processing");
        assert_eq!((&stuck["next_action"]["what"], &stuck["next_action"]["by"]), (&json!("payment"), &json!("staff")));
    }
    let id = patient.rsplit('/').next().unwrap();
    let dead = staff.get(&format!("/v1/ops/jobs?state=dead&order_id={id}")).await.done(200);
    let job = format!("/v1/ops/jobs/{}", dead.body["data"][0]["id"].as_str().unwrap());
    let shown = staff.get(&job).await.done(200).text;
    assert_eq!(
        shown.matches("the payment provider is not available").count(),
        9,
        "each attempt, and the last: {shown}"
    );
    assert_eq!(app.shelves().await, (5, 4), "both still hold their stock");

    staff.post(&format!("{job}/retry"), json!({})).await.done(200);
    hands.run().await;

    assert_eq!(alice.see(&patient).await["status"], "delivered");
    assert_eq!(alice.see(&hopeless).await["next_action"]["by"], "staff");
    assert_eq!(app.books().await, ["charged"]);
}

#[tokio::test]
async fn a_payment_that_runs_twice_charges_once() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let hands = ManualWorker::of(&app);
    let order = alice.order("mug", "tok_ok").await;
    let job = hands.take("process_payment").await;
    hands.carry_out(&job).await.unwrap();
    let paid = alice.see(&order).await;

    hands.lose(&job).await;
    let again = hands.take("process_payment").await;
    assert_eq!(hands.carry_out(&again).await.unwrap(), Done::NothingToDo);

    assert_eq!(alice.see(&order).await, paid);
    assert_eq!((app.books().await, app.jobs("ship_order").await), (vec!["charged".to_owned()], 1));
}

#[tokio::test]
async fn a_worker_frozen_past_its_lease_does_not_commit() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let provider = Gated::new(&app, Stops::BeforeAnswering);
    let (frozen, other) = (ManualWorker::with_provider(&app, provider.clone()), ManualWorker::of(&app));
    let order = alice.order("mug", "tok_ok").await;
    let first = frozen.take("process_payment").await;

    let meanwhile = async {
        provider.until_asked().await;
        other.lose(&first).await;
        assert_eq!(other.run_one("process_payment").await.unwrap(), Done::Recorded);
        let paid = alice.see(&order).await;
        provider.let_go();
        paid
    };
    let (late, paid) = join(frozen.carry_out(&first), meanwhile).await;

    assert!(matches!(late, Err(JobError::LeaseLost)), "{late:?}");
    assert_eq!(paid["status"], "paid");
    assert_eq!(alice.see(&order).await, paid);
    assert_eq!((app.books().await, app.jobs("ship_order").await), (vec!["charged".to_owned()], 1));
}

#[tokio::test]
async fn nobody_is_called_when_the_lease_could_not_be_renewed() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let provider = Gated::new(&app, Stops::Never);
    let hands = ManualWorker::with_provider(&app, provider.clone());
    let order = alice.order("mug", "tok_ok").await;
    let job = ManualWorker::with_a_stale_lease(&hands.take("process_payment").await);

    assert_transient(&hands.carry_out(&job).await, "could not be renewed");

    assert_eq!(provider.charges.load(Ordering::SeqCst), 0);
    assert_eq!(app.books().await, [""; 0]);
    hands.run().await;
    assert_eq!(alice.see(&order).await["status"], "delivered");
}

#[tokio::test]
async fn a_payment_that_cannot_be_decoded_is_dead_at_once_and_its_neighbour_runs() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let alice = app.customer().await;
    let broken = alice.order("mug", "tok_ok").await;
    sqlx::query("update jobs set args = '{\"order\": 1}'").execute(&app.db).await.unwrap();
    let fine = alice.order("mug", "tok_ok").await;

    ManualWorker::of(&app).run().await;

    assert_eq!(alice.see(&fine).await["status"], "delivered");
    assert_eq!(alice.see(&broken).await["next_action"]["by"], "staff");
    let dead: (i32, String) =
        sqlx::query_as("select attempt, error from jobs where state = 'dead'").fetch_one(&app.db).await.unwrap();
    assert!(dead.0 == 1 && dead.1.contains("cannot be decoded"), "{dead:?}");
}

#[tokio::test]
async fn the_providers_first_answer_for_a_key_stays() {
    let app = TestApp::new().await;
    let provider = simulated(&app);
    let amount = Money { amount: 1250, currency: "USD".parse().unwrap() };
    let declined = Outcome::Declined { reason: "card_declined".to_owned() };
    let (paid, refused, closed) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());

    assert_eq!(provider.find(paid).await.unwrap(), None);
    for token in ["tok_ok", "tok_ok", "tok_declined"] {
        assert_eq!(provider.charge(paid, amount, &token.parse().unwrap()).await.unwrap(), Outcome::Charged);
    }
    assert_eq!(provider.charge(refused, amount, &"tok_declined".parse().unwrap()).await.unwrap(), declined);
    assert_eq!(provider.charge(refused, amount, &"tok_ok".parse().unwrap()).await.unwrap(), declined);
    assert_eq!(provider.void(refused).await.unwrap(), declined);
    assert_eq!(provider.void(closed).await.unwrap(), Outcome::Closed);
    assert_eq!(provider.charge(closed, amount, &"tok_ok".parse().unwrap()).await.unwrap(), Outcome::Closed);
    assert_eq!(provider.find(closed).await.unwrap(), Some(Outcome::Closed));
    for _ in 0..2 {
        assert_eq!(provider.void(paid).await.unwrap(), Outcome::Refunded);
    }
    assert_eq!(provider.charge(paid, amount, &"tok_ok".parse().unwrap()).await.unwrap(), Outcome::Refunded);
    assert_eq!(app.books().await, ["refunded", "declined", "closed"]);
}

/// A token that nobody may see again.
const SECRET_TOKEN: &str = "tok_flaky_987";

async fn token(app: &TestApp) -> Option<String> {
    sqlx::query_scalar("select payment_token from orders").fetch_one(&app.db).await.unwrap()
}

#[tokio::test]
async fn a_payment_token_is_in_no_error_and_is_erased_when_its_job_is_given_up() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let order = alice.order("mug", SECRET_TOKEN).await;
    ManualWorker::of(&app).run().await;
    assert_eq!(token(&app).await.as_deref(), Some(SECRET_TOKEN));

    let dead = staff.get("/v1/ops/jobs?state=dead").await.done(200);
    let job = format!("/v1/ops/jobs/{}", dead.body["data"][0]["id"].as_str().unwrap());
    let shown = staff.get(&job).await.done(200);
    assert_eq!(shown.body["attempts"].as_array().unwrap().len(), 8);
    assert!(!shown.text.contains(SECRET_TOKEN), "{}", shown.text);

    staff.post(&format!("{job}/discard"), json!({})).await.done(200);
    assert_eq!(token(&app).await, None);
    staff.move_to(&order, "paid").await.done(200);
    ManualWorker::of(&app).run().await;
    assert_eq!(alice.see(&order).await["status"], "delivered");
}

#[tokio::test]
async fn a_payment_token_is_erased_after_a_week_and_what_was_charged_is_still_found() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 10).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let hands = ManualWorker::of(&app);
    let hopeless = alice.order("mug", SECRET_TOKEN).await;
    hands.run().await;
    let charged = alice.order("mug", "tok_timeout_charged").await;
    assert_transient(&hands.run_one("process_payment").await, "not known");

    let mut conn = app.db.acquire().await.unwrap();
    let week = Duration::from_hours(7 * 24);
    assert_eq!(shared::orders::pay::erase_old_tokens(&mut conn, week, 10).await.unwrap(), 0, "they are young");
    assert_eq!(shared::orders::pay::erase_old_tokens(&mut conn, Duration::ZERO, 10).await.unwrap(), 2);
    assert_eq!(app.count("select count(*) from orders where payment_token is not null").await, 0);

    hands.run().await;
    assert_eq!(alice.see(&charged).await["status"], "delivered", "the provider knows the charge by its key");
    staff.post("/v1/ops/jobs/retry", json!({ "limit": 10 })).await.done(200);
    hands.run().await;
    let dead = staff.get("/v1/ops/jobs?state=dead").await.done(200);
    let said = dead.body["data"][0]["error"].as_str().unwrap();
    assert!(said.contains("the payment token was erased"), "{said}");
    assert_eq!(alice.see(&hopeless).await["next_action"]["by"], "staff");
}

#[test]
fn a_payment_token_and_an_address_are_never_printed() {
    let token: PaymentToken = SECRET_TOKEN.parse().unwrap();
    let address: Address = serde_json::from_value(json!({ "line1": "1 Mill Lane" })).unwrap();
    let printed = format!("{token:?} {address:?} {:?}", Some((&token, &address)));
    assert!(!printed.contains(SECRET_TOKEN) && !printed.contains("Mill Lane"), "{printed}");
}
