//! Service accounts and API keys in the console.

use testkit::app::{PASSWORD, TestApp};

use crate::driver::Browser;
use crate::visitor::Visitor;

const HERE: &str = "/console/service-accounts";

/// The key that a page shows.
fn key_on(page: &str) -> String {
    let start = page.find("mr_test_").expect("the page shows a key");
    page[start..start + 56].to_owned()
}

#[tokio::test]
async fn a_key_is_made_shown_once_rotated_and_revoked() {
    let app = TestApp::new().await;
    let (staff, admin) = (app.staff().await, app.admin().await);
    let mut sam = Visitor::signed_in_to_console(&app, &staff.email).await;
    assert_eq!(sam.open(HERE).await.status, 403);
    let mut ada = Visitor::signed_in_to_console(&app, &admin.email).await;
    ada.open(HERE).await.ok().says("No service accounts");
    let form = [("key", "a"), ("name", "Robot"), ("description", "Counts at night")];
    let made = ada.send(HERE, &form).await;
    let page = made.location.clone().expect("it leads to the account");
    let path = page.split('?').next().unwrap().to_owned();
    assert_eq!(page, format!("{path}?done=made"));
    ada.open(HERE).await.ok().says("Robot").says("Counts at night");

    let without = ada.send(&format!("{path}/keys"), &[("key", "b"), ("name", "production")]).await;
    assert_eq!(without.status, 422);
    without.says("Name at least one scope");
    let form =
        [("key", "c"), ("name", "production"), ("inventory:read", "on"), ("allowed_ips", "127.0.0.1\n10.0.0.0/8")];
    let shown = ada.send(&format!("{path}/keys"), &form).await.ok();
    let key = key_on(&shown.text);
    let robot = app.anyone().with(&key);
    robot.get("/v1/inventory").await.done(200);
    // The second time there is nothing to show, and no second key.
    ada.send(&format!("{path}/keys"), &form).await.leads_to(&format!("{path}?done=made"));
    assert_eq!(app.count("select count(*) from api_keys").await, 1);
    let secret = &key[17..49];
    ada.open(&path).await.ok().says("production").says("inventory:read").says("Active").does_not_say(secret);

    let id = admin.get("/v1/api-keys").await.body["data"][0]["id"].as_str().unwrap().to_owned();
    let rotated =
        ada.send(&format!("/console/api-keys/{id}/rotate"), &[("key", "d"), ("overlap_hours", "1")]).await.ok();
    let newer = app.anyone().with(&key_on(&rotated.text));
    newer.get("/v1/inventory").await.done(200);
    robot.get("/v1/inventory").await.done(200);
    let again = ada.send(&format!("/console/api-keys/{id}/rotate"), &[("key", "e")]).await;
    assert_eq!(again.status, 409);
    again.says("The key is replaced");
    ada.send(&format!("/console/api-keys/{id}/revoke"), &[("key", "f")])
        .await
        .leads_to(&format!("{path}?done=changed"));
    robot.get("/v1/inventory").await.refused(401, "unauthenticated");

    let off = [("key", "g"), ("name", "Robot"), ("description", "")];
    ada.send(&path, &off).await.leads_to(&format!("{path}?done=changed"));
    newer.get("/v1/inventory").await.refused(401, "unauthenticated");
    ada.open(&path).await.ok().says("Deactivated").does_not_say("Make a key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_in_a_browser() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let browser = Browser::open(&app.url).await;
    browser.sign_in("/console/signin", &admin.email, PASSWORD).await;
    browser.go(HERE).await;
    browser.click("details.ask summary").await;
    assert!(browser.sticks_out().await <= 0, "the open sheet fits");
    browser.fill("#field-name", "Robot").await;
    browser.click("details.ask form button").await;
    browser.sees("It is made").await;
    browser.fill("#field-key-name", "production").await;
    browser.click("input[name='orders:read']").await;
    for (width, name) in [(390, "narrow"), (1440, "wide")] {
        browser.size(width, 900).await;
        assert!(browser.sticks_out().await <= 0, "{name}");
        browser.screenshot(&crate::browser::shots().join(format!("key-form-{name}.png"))).await;
    }
    browser.click("form[action$='/keys'] button").await;
    browser.sees("not shown again").await;
    browser.screenshot(&crate::browser::shots().join("key-shown.png")).await;
    let key = key_on(&browser.text().await);
    browser.click("main p a").await;
    browser.click("td details.ask:last-child summary").await;
    browser.sees("It cannot be brought back").await;
    assert!(browser.sticks_out().await <= 0, "the open sheet fits");
    browser.screenshot(&crate::browser::shots().join("key-revoke.png")).await;
    app.anyone().with(&key).get("/v1/orders").await.done(200);
    assert_eq!(browser.complaints().await, [""; 0]);
}
