//! The pages of webhooks: registering one, its secret, its log, and sending many again.

use serde_json::json;
use testkit::app::TestApp;
use testkit::receiver::{Reaction, Receiver};
use testkit::workers::{TestSystem, WEBHOOKS, WorkerProcess, webhook_options};

use crate::visitor::Visitor;

#[tokio::test]
async fn staff_register_a_webhook_and_see_its_secret_once() {
    let app = TestApp::with(&webhook_options().each_ref().map(String::as_str)).await;
    let staff = app.staff().await;
    let mut sam = Visitor::signed_in_to_console(&app, &staff.email).await;
    sam.open("/console/webhooks").await.ok().says("No webhook yet");
    let form = |url: &'static str, types: &'static str| [("url", url), ("types", types), ("description", "The ERP")];
    for (url, types, words) in [
        ("https://10.0.0.1/", "order.*", "not on the public internet"),
        ("nonsense", "order.*", "This is not a URL"),
        ("https://erp.example/", "order.eaten", "is no type of event"),
    ] {
        let refused = sam.send("/console/webhooks", &form(url, types)).await;
        assert_eq!(refused.status, 422);
        refused.says(words).says(url);
    }
    let made = sam.send("/console/webhooks", &form("https://erp.example/hooks", "order.*, stock.low")).await;
    assert_eq!(made.status, 200);
    made.says("whsec_").says("It is shown only now");
    let id: uuid::Uuid = sqlx::query_scalar("select id from webhook_endpoints").fetch_one(&app.db).await.unwrap();
    let here = format!("/console/webhooks/{id}");
    sam.open("/console/webhooks").await.ok().says("The ERP").says("order.*, stock.low").does_not_say("whsec_");
    sam.open(&here).await.ok().says("Nothing yet").does_not_say("whsec_");

    sam.send(&format!("{here}/pause"), &[]).await.leads_to(&format!("{here}?done=webhook_paused"));
    sam.open(&here).await.ok().says("Events gather");
    sam.send(&format!("{here}/test"), &[]).await.says("not enabled");
    sam.send(&format!("{here}/enable"), &[]).await.leads_to(&format!("{here}?done=webhook_enabled"));
    sam.send(&format!("{here}/rotate"), &[]).await.says("whsec_");
    sam.send(&format!("{here}/rotate"), &[]).await.says("still good").does_not_say("whsec_");
    let change = [("url", "https://erp.example/new"), ("types", "*"), ("max_per_second", "5"), ("version", "4")];
    sam.send(&here, &change).await.leads_to(&format!("{here}?done=changed"));
    sam.send(&here, &change).await.says("Somebody has changed this meanwhile");
    let seen = staff.get(&format!("/v1/webhooks/{id}")).await.done(200).body;
    assert_eq!(
        (&seen["url"], &seen["types"], &seen["max_per_second"]),
        (&json!("https://erp.example/new"), &json!(["*"]), &json!(5))
    );
    sam.send(&format!("{here}/delete"), &[]).await.leads_to("/console/webhooks?done=deleted");
    assert_eq!(sam.open(&here).await.status, 404);
}

#[tokio::test]
async fn a_disabled_webhook_is_in_the_inbox() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = WorkerProcess::start(&system, &WEBHOOKS);
    let (staff, buyer) = (system.app.staff().await, system.app.customer().await);
    let receiver = Receiver::that(|_, _| Reaction::Status(410)).await;
    let body = json!({ "url": receiver.url, "types": ["order.placed"] });
    let id = staff.post("/v1/webhooks", body).await.done(201).id().to_owned();
    let mut sam = Visitor::signed_in_to_console(&system.app, &staff.email).await;
    sam.open("/console/inbox").await.ok().does_not_say(&receiver.url);
    system.order(&buyer, "tok_ok").await;
    system.until_count("it is disabled", "select count(*) from webhook_endpoints where state = 'disabled'", 1).await;
    sam.open("/console/inbox").await.ok().says("says that it is gone").says(&format!("/console/webhooks/{id}"));
    sam.send(&format!("/console/webhooks/{id}/enable"), &[]).await;
    sam.open("/console/inbox").await.ok().does_not_say(&receiver.url);
}

#[tokio::test]
async fn the_log_shows_attempts_and_a_replay_is_previewed() {
    let system = TestSystem::with_webhooks(None).await;
    let _worker = WorkerProcess::start(&system, &WEBHOOKS);
    let (staff, buyer) = (system.app.staff().await, system.app.customer().await);
    let receiver = Receiver::start().await;
    let body = json!({ "url": receiver.url, "types": ["order.placed"] });
    let id = staff.post("/v1/webhooks", body).await.done(201).id().to_owned();
    system.order(&buyer, "tok_ok").await;
    let event = receiver.has(1).await[0].id().to_owned();
    let delivered = "select count(*) from webhook_deliveries where state = 'delivered'";
    system.until_count("it is recorded", delivered, 1).await;
    let mut sam = Visitor::signed_in_to_console(&system.app, &staff.email).await;
    let here = format!("/console/webhooks/{id}");
    sam.open(&here).await.ok().says("order.placed").says("Delivered");
    let log = format!("{here}/deliveries");
    sam.open(&format!("{log}?state=delivered")).await.ok().says(&event);
    sam.open(&format!("{log}?state=failed")).await.ok().says("No such delivery");
    let one = format!("{log}/{event}");
    sam.open(&one).await.ok().says("hello").says("What is sent").says("customer_id");
    sam.send(&format!("{one}/redeliver"), &[]).await.leads_to(&format!("{one}?done=redelivered"));
    receiver.has(2).await;
    system
        .until_count(
            "it is recorded again",
            "select count(*) from webhook_deliveries where attempts = 2 and state = 'delivered'",
            1,
        )
        .await;

    let replay = format!("{here}/replay");
    let since = [("from", "2020-01-01T00:00"), ("only", "all"), ("types", "")];
    let preview = sam.send(&replay, &since).await;
    assert_eq!(preview.status, 200);
    preview.says("1 event is sent again");
    assert_eq!(receiver.arrivals().len(), 2, "a preview sends nothing");
    sam.send(&replay, &[&since[..], &[("sure", "yes")]].concat()).await.leads_to(&format!("{here}?done=started"));
    receiver.has(3).await;
    sam.send(&replay, &[("from", ""), ("only", "all")]).await.says("Say since when");
}
