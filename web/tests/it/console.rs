//! The console: orders to read and to act on, and the record of who did it.

use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use testkit::person::Person;

use crate::tab::{Tab, fields, location};

/// An order whose payment was given up, and the address of its page.
async fn stuck(app: &TestApp, buyer: &Person<'_>) -> (String, String) {
    let order = buyer.order("mug", "tok_flaky_1").await;
    ManualWorker::of(app).run().await;
    let number = app.staff().await.see(&order).await["number"].as_str().unwrap().to_owned();
    (order, format!("/console/orders/{number}"))
}

async fn app() -> TestApp {
    let app = TestApp::with(&["--job-max-attempts=1"]).await;
    app.product("mug", 1200, 10).await;
    app
}

/// The first form of the page that is sent to an address which ends so: the address, and its hidden fields.
fn form<'a>(page: &'a str, end: &str) -> (&'a str, Vec<(&'a str, &'a str)>) {
    let actions = page.split("action=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let action =
        actions.into_iter().find(|action| action.ends_with(end)).unwrap_or_else(|| panic!("no {end} in {page}"));
    (action, fields(page, action))
}

#[tokio::test]
async fn staff_retry_a_payment_and_the_record_says_who_did_it() {
    let app = app().await;
    let (order, path) = stuck(&app, &app.customer().await).await;
    let staff = app.staff().await;
    let tab = Tab::working(&staff).await;
    assert_eq!(location(&tab.open("/console").await.done(303)), "/console/orders");
    let list = tab.open("/console/orders").await.done(200).text;
    assert!(list.contains(&path) && list.contains("Payment waits for you"), "{list}");
    let page = tab.open(&path).await.done(200).text;
    assert!(page.contains("Payment waits for you") && page.contains("not available"), "{page}");

    let (retry, fields) = form(&page, "/retry");
    for _ in 0..2 {
        assert_eq!(location(&tab.send(retry, &fields).await.done(303)), path, "also when it is sent twice");
    }
    assert_eq!(app.count("select count(*) from actions where action = 'job.retried'").await, 1);
    assert!(tab.open(&path).await.text.contains("The job is retried now."));
    ManualWorker::of(&app).run().await;
    assert_eq!(staff.see(&order).await["payment"]["status"], "charged");
    let page = tab.open(&path).await.done(200).text;
    assert!(page.contains("retried “Charge the customer”") && page.contains("The card was charged"), "{page}");

    let late = tab.send(retry, &[("key", "another")]).await.done(409);
    assert!(late.text.contains("Somebody was faster") && late.text.contains("The card was charged"), "{}", late.text);
    let activity = tab.open("/console/activity?action=job.retried").await.done(200).text;
    assert!(activity.contains("Some One") && activity.contains("Retried a job"), "{activity}");
}

#[tokio::test]
async fn a_job_is_given_up_with_a_reason_and_the_order_goes_on_by_hand() {
    let app = app().await;
    let (order, path) = stuck(&app, &app.customer().await).await;
    let staff = app.staff().await;
    let tab = Tab::working(&staff).await;
    let page = tab.open(&path).await.done(200).text;
    let ask = page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let ask = ask.into_iter().find(|href| href.ends_with("/discard")).unwrap().to_owned();
    let question = tab.open(&ask).await.done(200).text;
    let (discard, mut fields) = form(&question, "/discard");
    let refused = tab.send(discard, &fields).await.done(422);
    assert!(refused.text.contains("Say why") || refused.text.contains("say why"), "{}", refused.text);
    fields.push(("reason", "<script>alert(1)</script>"));
    tab.send(discard, &fields).await.done(303);
    let activity = tab.open("/console/activity").await.done(200).text;
    assert!(activity.contains("&lt;script&gt;alert(1)") && !activity.contains("<script>alert"), "{activity}");

    for (step, ask, status) in [("/paid", true, "paid"), ("/ship", true, "shipped"), ("/delivered", false, "delivered")]
    {
        let page = tab.open(&if ask { format!("{path}{step}") } else { path.clone() }).await.done(200).text;
        let (action, fields) = form(&page, step);
        tab.send(action, &fields).await.done(303);
        assert_eq!(staff.see(&order).await["status"], status);
        tab.send(action, &fields).await.done(303);
        let again = tab.send(action, &[("key", status)]).await.done(409);
        assert!(again.text.contains("Somebody was faster"), "{}", again.text);
    }
}

#[tokio::test]
async fn staff_cancel_an_order_with_a_reason() {
    let app = app().await;
    let (order, path) = stuck(&app, &app.customer().await).await;
    let staff = app.staff().await;
    let tab = Tab::working(&staff).await;
    let question = tab.open(&format!("{path}/cancel")).await.done(200).text;
    assert!(question.contains("2 units go back on the shelf"), "{question}");
    let (cancel, mut fields) = form(&question, "/cancel");
    fields.push(("reason", "out of print"));
    assert_eq!(location(&tab.send(cancel, &fields).await.done(303)), path);
    let seen = staff.see(&order).await;
    assert_eq!((seen["status"].as_str(), seen["cancel_reason"].as_str()), (Some("cancelling"), Some("out of print")));
}

#[tokio::test]
async fn lists_filter_and_lead_on() {
    let app = app().await;
    let (alice, bob) = (app.customer().await, app.customer().await);
    let (_, of_alice) = stuck(&app, &alice).await;
    let (order, of_bob) = stuck(&app, &bob).await;
    let staff = app.staff().await;
    let tab = Tab::working(&staff).await;
    let customer = staff.see(&order).await["customer_id"].as_str().unwrap().to_owned();
    let list = tab.open(&format!("/console/orders?customer_id={customer}")).await.done(200).text;
    assert!(list.contains(&of_bob) && !list.contains(&of_alice), "{list}");
    let list = tab.open("/console/orders?status=delivered").await.done(200).text;
    assert!(list.contains("No orders match this filter."), "{list}");
    let list = tab.open("/console/orders?from=2020-01-01&to=2099-01-01").await.done(200).text;
    assert!(list.contains(&of_bob) && list.contains(&of_alice), "{list}");
    tab.open("/console/orders?from=yesterday").await.done(422);
    tab.open("/console/orders?cursor=x").await.done(422);
    let id = order.rsplit('/').next().unwrap();
    assert_eq!(location(&tab.open(&format!("/console/orders/{id}")).await.done(303)), of_bob);
    let lower = of_bob.to_lowercase();
    assert_eq!(location(&tab.open(&lower).await.done(303)), of_bob);
    tab.open("/console/orders/M-0000000").await.done(404);
}

#[tokio::test]
async fn no_page_links_to_a_page_that_is_not_there() {
    let app = app().await;
    let (_, path) = stuck(&app, &app.customer().await).await;
    let staff = app.staff().await;
    let tab = Tab::working(&staff).await;
    for page in
        ["/console/orders", "/console/jobs", "/console/queues", "/console/workers", "/console/activity", path.as_str()]
    {
        let text = tab.open(page).await.done(200).text;
        let links = text.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        for link in links.filter(|link| link.starts_with('/')) {
            let reply = tab.open(&link.replace("&amp;", "&")).await;
            assert!(reply.status.is_success() || reply.status.is_redirection(), "{page}: {link} is {}", reply.status);
        }
    }
}

#[tokio::test]
async fn a_queue_is_paused_and_resumed_and_a_job_has_a_page() {
    let app = app().await;
    stuck(&app, &app.customer().await).await;
    let staff = app.staff().await;
    let tab = Tab::working(&staff).await;
    let question = tab.open("/console/queues/high/pause").await.done(200).text;
    let (pause, fields) = form(&question, "/high/pause");
    tab.send(pause, &fields).await.done(303);
    let page = tab.open("/console/queues").await.done(200).text;
    assert!(page.contains("Paused") && page.contains("/console/jobs?state=dead&amp;queue=high"), "{page}");
    let (resume, fields) = form(&page, "/high/resume");
    tab.send(resume, &fields).await.done(303);
    assert_eq!(app.count("select count(*) from queues where paused").await, 0);
    tab.send("/console/queues/none/pause", &[("key", "k")]).await.done(404);

    let list = tab.open("/console/jobs?state=dead").await.done(200).text;
    assert!(list.contains("Charge the customer") && list.contains("not available"), "{list}");
    let link = list.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let link = link.into_iter().find(|href| href.starts_with("/console/jobs/")).unwrap();
    let page = tab.open(link).await.done(200).text;
    let (retry, fields) = form(&page, "/retry");
    tab.send(retry, &fields).await.done(303);
    let refused = tab.send(retry, &[("key", "other")]).await.done(409);
    assert!(refused.text.contains("only a dead job can be retried"), "{}", refused.text);
}
