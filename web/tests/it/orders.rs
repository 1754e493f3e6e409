//! The console's page of an order: its buttons do what the routes do, once.

use serde_json::json;
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use testkit::person::Person;
use testkit::workers::TestSystem;

use crate::visitor::Visitor;

async fn order_of(alice: &Person<'_>, token: &str) -> (String, String) {
    let body = json!({
        "items": [{ "sku": "mug", "quantity": 2 }], "payment_token": token, "shipping_address": { "line1": "1 Mill Lane" },
    });
    let placed = alice.post("/v1/orders", body).await.done(201);
    (placed.id().to_owned(), placed.body["number"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_dead_payment_is_retried_once_however_often_the_button_is_pressed() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 10).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let (id, number) = order_of(&alice, "tok_flaky_8").await;
    let worker = ManualWorker::of(&app);
    worker.run().await;
    let mut sam = Visitor::signed_in_to_console(&app, &staff.email).await;
    let page = sam.open(&format!("/console/orders/{number}")).await.ok();
    page.says("waits for you").says("Retry: Charge the customer").says("It was tried 8 times");
    let (key, job) = (page.hidden("key"), page.hidden("job"));
    for _ in 0..2 {
        let retried = sam.send(&format!("/console/orders/{number}/retry"), &[("key", &key), ("job", &job)]).await;
        retried.leads_to(&format!("/console/orders/{number}?done=retried"));
    }
    let refused = sam.send(&format!("/console/orders/{number}/retry"), &[("key", "another"), ("job", &job)]).await;
    assert_eq!(refused.status, 409);
    refused.says("only a dead job can be retried");
    worker.run().await;
    assert_eq!(staff.see(&format!("/v1/orders/{id}")).await["status"], "delivered");
    let story = staff.story(&format!("/v1/orders/{id}")).await;
    assert_eq!(story.iter().filter(|event| *event == "job_retried").count(), 1, "{story:?}");
    sam.open(&format!("/console/orders/{number}")).await.ok().says("Retried: Charge the customer").says("Some One");
}

#[tokio::test]
async fn a_page_that_is_behind_changes_nothing_and_says_so() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 10).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let (id, number) = order_of(&alice, "tok_ok").await;
    let mut sam = Visitor::signed_in_to_console(&app, &staff.email).await;
    let page = sam.open(&format!("/console/orders/{number}")).await.ok();
    let (key, version) = (page.hidden("key"), page.hidden("version"));
    staff.move_to(&format!("/v1/orders/{id}"), "processing").await.done(200);
    let path = format!("/console/orders/{number}/move");
    let refused = sam.send(&path, &[("key", &key), ("to", "processing"), ("version", &version)]).await;
    assert_eq!(refused.status, 412);
    refused.says("Somebody has changed this meanwhile; look at it again.").says("Mark as paid");
}

#[tokio::test]
async fn cancelling_and_notes_are_on_the_timeline_with_who_did_it() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 10).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let (_, number) = order_of(&alice, "tok_ok").await;
    let mut sam = Visitor::signed_in_to_console(&app, &staff.email).await;
    let here = format!("/console/orders/{number}");
    sam.open(&here).await.ok();
    let noted = sam.send(&format!("{here}/note"), &[("key", "n1"), ("text", "Called <b>twice</b>.")]).await;
    noted.leads_to(&format!("{here}?done=noted"));
    let empty = sam.send(&format!("{here}/note"), &[("key", "n2"), ("text", " ")]).await;
    assert_eq!(empty.status, 422);
    let cancelled = sam.send(&format!("{here}/cancel"), &[("key", "c1"), ("reason", "ordered twice")]).await;
    cancelled.leads_to(&format!("{here}?done=cancelling"));
    let worker = ManualWorker::of(&app);
    worker.run().await;
    let page = sam.open(&here).await.ok();
    page.says("Called &lt;b&gt;twice&lt;/b&gt;.")
        .says("Cancelling asked for: ordered twice")
        .says("This order is cancelled");
}

#[tokio::test]
async fn the_past_of_an_order_and_its_packing_slip_are_shown() {
    let app = TestApp::new().await;
    app.product("mug", 1250, 10).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let (id, number) = order_of(&alice, "tok_ok").await;
    ManualWorker::of(&app).run().await;
    let order = format!("/v1/orders/{id}");
    let events = staff.get(&format!("{order}/events")).await.done(200).body;
    let at = |kind: &str| {
        let events = events["data"].as_array().unwrap().iter();
        events.clone().find(|event| event["type"] == kind).unwrap()["at"].as_str().unwrap().to_owned()
    };
    let then = async |at: &str| staff.get(&format!("{order}?as_of={at}")).await.done(200).body;
    let placed = then(&at("placed")).await;
    assert_eq!(
        (&placed["status"], &placed["payment"], &placed["shipments"]),
        (&json!("pending"), &json!(null), &json!([]))
    );
    let paid = then(&at("paid")).await;
    assert_eq!((&paid["status"], &paid["payment"]["status"]), (&json!("paid"), &json!("charged")));
    assert_eq!(then(&at("delivered")).await["shipments"][0]["status"], "delivered");
    staff.get(&format!("{order}?as_of=2020-01-01T00:00:00Z")).await.refused(404, "order_not_found");
    let charges = staff.get(&format!("{order}/charges")).await.done(200).body["data"].clone();
    assert_eq!((&charges[0]["status"], &charges[0]["attempts"]), (&json!("charged"), &json!(1)), "{charges}");
    let allocation = staff.get(&format!("{order}/allocation")).await.done(200).body;
    assert_eq!(
        (&allocation["reservation"]["state"], &allocation["reservation"]["items"][0]["quantity"]),
        (&json!("shipped"), &json!(2))
    );
    assert!(allocation["sourcing"]["from"].is_array(), "{allocation}");
    alice.get(&format!("{order}/charges")).await.refused(403, "forbidden");

    let mut sam = Visitor::signed_in_to_console(&app, &staff.email).await;
    let page = sam.open(&format!("/console/orders/{number}?as_of={}", at("placed"))).await.ok();
    page.says("The past:").says("Nothing has been charged yet.").does_not_say("Write the note");
    let slip = sam.open(&format!("/console/orders/{number}/slip")).await.ok();
    slip.says("Code of").says("A mug").does_not_say("$25.00");
}

#[tokio::test]
async fn filtered_orders_are_cancelled_together_and_downloaded_as_a_table() {
    let system = TestSystem::start().await;
    let app = &system.app;
    let (alice, staff) = (app.customer().await, app.staff().await);
    for _ in 0..3 {
        system.order(&alice, "tok_ok").await;
    }
    let evil = "update customers set name = '=cmd|calc'";
    sqlx::raw_sql(evil).execute(&app.db).await.unwrap();
    let mut visitor = Visitor::signed_in_to_console(app, &staff.email).await;
    let table = visitor.open("/console/orders.csv?status=pending").await.ok();
    table.says(",12.50,USD,").says(",'=cmd|calc,");
    assert_eq!(table.text.lines().count(), 4, "{table:?}");
    let link = "/console/bulk/new?action=cancel_orders&amp;status=pending";
    visitor.open("/console/orders?status=pending").await.ok().says(link);
    visitor.open("/console/orders?sku=mug").await.ok().does_not_say("cancel_orders");
    let preview = visitor.open("/console/bulk/new?action=cancel_orders&status=pending").await.ok();
    preview.says("Cancel <b>3 orders");
    let hidden = ["key", "action", "upto", "expected", "status"].map(|name| (name, preview.hidden(name)));
    let mut fields: Vec<(&str, &str)> = hidden.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fields.push(("reason", "a fraud"));
    assert_eq!(visitor.send("/console/bulk/new", &fields).await.status, 303);
    ManualWorker::of(app).run_one("bulk_step").await.unwrap();
    assert_eq!(app.count("select count(*) from orders where status = 'cancelling'").await, 3);
}

/// Its month was removed from the database; here by hand.
#[tokio::test]
async fn an_order_whose_history_is_in_the_archive_says_so() {
    let app = TestApp::new().await.without_audit("items and events are removed by hand");
    app.product("mug", 1250, 5).await;
    let (alice, staff) = (app.customer().await, app.staff().await);
    let number = alice.place(json!([{ "sku": "mug", "quantity": 2 }])).await.done(201).body["number"].clone();
    let number = number.as_str().unwrap();
    sqlx::raw_sql(
        "delete from order_items; delete from order_events;
         update archive_months set written_at = now(), removed_at = now() where name = 'start'",
    )
    .execute(&app.db)
    .await
    .unwrap();
    let mut sam = Visitor::signed_in_to_console(&app, &staff.email).await;
    let page = sam.open(&format!("/console/orders/{number}")).await.ok();
    page.says("its items and its timeline are in the archive").says("start").does_not_say("Packing slip");
    sam.open("/console/orders").await.ok().says(number);
    let mut buyer = Visitor::signed_in_to_shop(&app, &alice.email).await;
    buyer.open(&format!("/orders/{number}")).await.ok().says("It is so old").does_not_say("Delivered");
    buyer.open("/orders").await.ok().says(number);
}
