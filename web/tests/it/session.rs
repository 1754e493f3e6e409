//! Signing in with a browser: the two doors, what ends a session, where forms may come from.

use serde_json::json;
use testkit::app::{PASSWORD, TestApp};

use crate::tab::{Tab, location};

#[tokio::test]
async fn pages_believe_their_cookie_and_the_api_believes_its_token() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let tab = Tab::shopping(&alice).await;
    tab.open("/account").await.done(200);
    let token = alice.token.clone().unwrap();

    let with_token = Tab::new(&app);
    let refused =
        testkit::person::Reply::of(with_token.request(reqwest::Method::GET, "/account").bearer_auth(token)).await;
    assert_eq!(refused.status, 303, "{refused:?}");
    assert_eq!(location(&refused), "/signin?next=%2Faccount");

    let refused = tab.open("/v1/me").await;
    refused.refused(401, "unauthenticated");
}

#[tokio::test]
async fn a_session_of_the_shop_is_never_one_of_the_console() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let tab = Tab::shopping(&staff).await;
    let cookie = tab.cookie("millrace-shop").unwrap();
    tab.set_cookie("millrace-console", &cookie);
    let refused = tab.open("/console/orders").await.done(303);
    assert_eq!(location(&refused), "/console/signin?next=%2Fconsole%2Forders");

    let customer = app.customer().await;
    let fields = [("email", customer.email.as_str()), ("password", PASSWORD)];
    let refused = Tab::new(&app).send("/console/signin", &fields).await.done(403);
    assert!(refused.text.contains("The console is for staff."), "{}", refused.text);
    assert!(refused.headers.get("set-cookie").is_none());

    let working = Tab::working(&staff).await;
    working.open("/console/orders").await.done(200);
    working.open("/account").await.done(303);
}

#[tokio::test]
async fn a_copied_cookie_is_dead_after_sign_out_and_after_a_new_password() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let (tab, other) = (Tab::shopping(&alice).await, Tab::shopping(&alice).await);
    assert_ne!(tab.cookie("millrace-shop"), other.cookie("millrace-shop"), "a new value at each sign-in");

    let copied = tab.cookie("millrace-shop").unwrap();
    tab.send("/signout", &[]).await.done(303);
    assert_eq!(tab.cookie("millrace-shop"), None);
    tab.set_cookie("millrace-shop", &copied);
    tab.open("/account").await.done(303);

    let third = Tab::shopping(&alice).await;
    let changed = third.send("/account/password", &[("current", PASSWORD), ("new", "battery horse correct")]).await;
    assert_eq!(location(&changed.done(303)), "/account");
    third.open("/account").await.done(200);
    other.open("/account").await.done(303);

    let stored: i64 =
        app.count("select count(*) from sessions where cookie_hash is not null and length(cookie_hash) = 32").await;
    assert_eq!(stored, 3);
}

#[tokio::test]
async fn wrong_passwords_tell_nothing_and_count_for_pages_and_api_together() {
    let app = TestApp::with(&["--rate-limit-account=3/5m"]).await;
    let alice = app.customer().await;
    let tab = Tab::new(&app);
    let wrong = [("email", alice.email.as_str()), ("password", "not the password")];
    let known = tab.send("/signin", &wrong).await.done(401);
    let unknown = tab.send("/signin", &[("email", "nobody@example.com"), wrong[1]]).await.done(401);
    for refused in [&known, &unknown] {
        assert!(refused.text.contains("The e-mail address or the password is wrong"), "{}", refused.text);
    }
    app.anyone().post("/v1/auth/login", json!({ "email": alice.email, "password": "x" })).await.done(401);
    tab.send("/signin", &wrong).await.done(401);
    let limited = tab.send("/signin", &wrong).await.done(429);
    assert!(!limited.header("retry-after").is_empty());
    assert!(limited.text.contains("Too many requests"), "{}", limited.text);
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let tab = Tab::shopping(&alice).await;
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "http://evil.example"), ("origin", "null")] {
        let request = tab.request(reqwest::Method::POST, "/signout").header(name, value);
        let refused = testkit::person::Reply::of(request).await.done(403);
        assert!(refused.text.contains("This form was sent from another site"), "{}", refused.text);
        tab.open("/account").await.done(200);
    }
    let ours = tab.request(reqwest::Method::POST, "/signout").header("origin", &app.url);
    testkit::person::Reply::of(ours).await.done(303);
    tab.open("/account").await.done(303);
}

#[tokio::test]
async fn nobody_signs_in_over_plain_http_from_elsewhere() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let body = format!("email={}&password=correct+horse+battery", alice.email);
    let request = Tab::new(&app).request(reqwest::Method::POST, "/signin").header("host", "shop.example").body(body);
    let refused = testkit::person::Reply::of(request).await.done(422);
    assert!(refused.text.contains("https://"), "{}", refused.text);
}

#[tokio::test]
async fn who_registers_is_signed_in_and_goes_on_within_the_shop() {
    let app = TestApp::new().await;
    let tab = Tab::new(&app);
    let weak = [("name", "Bob"), ("email", "bob"), ("password", "short")];
    let refused = tab.send("/register", &weak).await.done(422);
    assert!(
        refused.text.contains("id=\"email-error\"") && refused.text.contains("id=\"password-error\""),
        "{}",
        refused.text
    );
    let fine = [("name", "Bob"), ("email", "bob@example.com"), ("password", PASSWORD), ("next", "//evil.example")];
    assert_eq!(location(&tab.send("/register", &fine).await.done(303)), "/");
    assert!(tab.open("/account").await.done(200).text.contains("bob@example.com"));
    let taken = tab.send("/register", &fine).await.done(409);
    assert!(taken.text.contains("There is an account with this address"), "{}", taken.text);
}
