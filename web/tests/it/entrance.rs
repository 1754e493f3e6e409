//! Signing in with a browser: two cookies, forms of our own only, no way out to other sites.

use reqwest::Method;
use reqwest::header::{CONTENT_SECURITY_POLICY, SET_COOKIE};
use serde_json::json;
use testkit::app::{PASSWORD, TestApp};

use crate::visitor::Visitor;

#[tokio::test]
async fn a_cookie_is_good_for_one_site_and_never_for_the_api() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    let mut shopper = Visitor::signed_in_to_shop(&app, &staff.email).await;
    shopper.open("/orders").await.ok();
    shopper.open("/console").await.leads_to("/console/signin?next=%2Fconsole");
    // Even under the other cookie's name.
    let value = shopper.cookies["millrace-shop"].clone();
    shopper.cookies.insert("millrace-console".to_owned(), value);
    shopper.open("/console").await.leads_to("/console/signin?next=%2Fconsole");
    let answer = shopper.request(Method::GET, "/v1/me").send().await.unwrap();
    assert_eq!(answer.status(), 401, "the API believes only tokens");
    let page = staff.request(Method::GET, "/console").header("accept", "text/html").send().await.unwrap();
    assert!(page.url().path().ends_with("/signin"), "pages believe only cookies");
}

#[tokio::test]
async fn the_cookie_is_kept_from_scripts_and_the_page_from_foreign_code() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let visitor = Visitor::new(&app);
    let form = [("email", &*alice.email), ("password", PASSWORD)];
    let entered = visitor.request(Method::POST, "/signin").form(&form).send().await.unwrap();
    let cookie = entered.headers()[SET_COOKIE].to_str().unwrap();
    for part in ["millrace-shop=", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    let page = visitor.request(Method::GET, "/").send().await.unwrap();
    let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    let text = page.text().await.unwrap();
    for inline in ["<script>", "style=", " onclick", "<style"] {
        assert!(!text.contains(inline), "{inline}");
    }
}

#[tokio::test]
async fn over_tls_the_cookie_is_bound_to_the_host() {
    let app = TestApp::with(&["--public-url=https://shop.example"]).await;
    let alice = app.customer().await;
    let form = [("email", &*alice.email), ("password", PASSWORD)];
    let entered = Visitor::new(&app).request(Method::POST, "/signin").form(&form).send().await.unwrap();
    let cookie = entered.headers()[SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-millrace-shop=") && cookie.contains("; Secure"), "{cookie}");
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let visitor = Visitor::signed_in_to_shop(&app, &alice.email).await;
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let foreign = visitor.request(Method::POST, "/signout").header(name, value).form(&[("x", "y")]);
        let refused = foreign.send().await.unwrap();
        assert_eq!(refused.status(), 403, "{name}: {value}");
        assert!(refused.text().await.unwrap().contains("This form came from another site"));
    }
    let still = visitor.request(Method::GET, "/orders").send().await.unwrap();
    assert_eq!(still.status(), 200, "nobody was signed out");
}

#[tokio::test]
async fn signing_in_leads_back_to_the_page_and_nowhere_else() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let form = |next: &'static str| {
        [("email", alice.email.clone()), ("password", PASSWORD.to_owned()), ("next", next.to_owned())]
    };
    for (next, goes) in
        [("/orders", "/orders"), ("//evil.example/", "/"), ("https://evil.example", "/"), ("/console", "/")]
    {
        let mut visitor = Visitor::new(&app);
        let fields = form(next);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        visitor.send("/signin", &fields).await.leads_to(goes);
    }
    let mut visitor = Visitor::new(&app);
    let refused = visitor.send("/signin", &[("email", &alice.email), ("password", "wrong")]).await;
    assert_eq!(refused.status, 401);
    refused.says("The e-mail address or the password is wrong.").says(&alice.email);
    let unknown = visitor.send("/signin", &[("email", "nobody@example.com"), ("password", "wrong")]).await;
    unknown.says("The e-mail address or the password is wrong.");
}

#[tokio::test]
async fn a_copied_cookie_is_dead_after_sign_out_and_after_a_change_of_password() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let mut here = Visitor::signed_in_to_shop(&app, &alice.email).await;
    let mut there = Visitor::signed_in_to_shop(&app, &alice.email).await;
    let mut thief = Visitor::new(&app);
    thief.cookies = there.cookies.clone();
    thief.open("/orders").await.ok();
    here.open("/account").await.ok();
    let new = [("current_password", PASSWORD), ("new_password", "quite another battery")];
    here.send("/account/password", &new).await.leads_to("/account?done=password");
    there.open("/orders").await.leads_to("/signin?next=%2Forders");
    thief.open("/orders").await.leads_to("/signin?next=%2Forders");
    thief.cookies = here.cookies.clone();
    here.send("/signout", &[]).await.leads_to("/signin?done=signed-out");
    thief.open("/orders").await.leads_to("/signin?next=%2Forders");
}

#[tokio::test]
async fn the_console_is_for_staff() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let mut visitor = Visitor::new(&app);
    let refused = visitor.send("/console/signin", &[("email", &alice.email), ("password", PASSWORD)]).await;
    assert_eq!(refused.status, 403);
    refused.says("The console is for staff.");
    assert!(visitor.cookies.is_empty());
    let staff = app.staff().await;
    let mut staff = Visitor::signed_in_to_console(&app, &staff.email).await;
    staff.open("/console/orders").await.ok().says("Orders");
}

#[tokio::test]
async fn guesses_at_the_sign_in_of_a_page_count_like_those_at_the_api() {
    let app = TestApp::with(&["--rate-limit-account=3/1h"]).await;
    let alice = app.customer().await;
    let mut visitor = Visitor::new(&app);
    for _ in 0..3 {
        let wrong = visitor.send("/signin", &[("email", &alice.email), ("password", "wrong")]).await;
        assert_eq!(wrong.status, 401);
    }
    let refused = visitor.send("/signin", &[("email", &alice.email), ("password", PASSWORD)]).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    let login = json!({ "email": alice.email, "password": PASSWORD });
    app.anyone().post("/v1/auth/login", login).await.refused(429, "rate_limited");
}

#[tokio::test]
async fn a_page_that_does_not_exist_is_a_page_and_a_route_is_a_document() {
    let app = TestApp::new().await;
    let mut visitor = Visitor::new(&app);
    let nothing = visitor.open("/nowhere").await;
    assert_eq!(nothing.status, 404);
    nothing.says("There is no page at this address.");
    let route = visitor.open("/v1/nowhere").await;
    assert!(route.text.contains("urn:millrace:problem:not_found"), "{route:?}");
}

#[tokio::test]
async fn a_site_that_is_off_is_not_there() {
    let app = TestApp::with(&["--console=off"]).await;
    let mut visitor = Visitor::new(&app);
    assert_eq!(visitor.open("/console/signin").await.status, 404);
    visitor.open("/").await.ok();
    let app = TestApp::with(&["--shop=off"]).await;
    let mut visitor = Visitor::new(&app);
    assert_eq!(visitor.open("/").await.status, 404);
    visitor.open("/console/signin").await.ok();
}

#[tokio::test]
async fn a_console_with_an_address_of_its_own_is_only_there() {
    let app = TestApp::with(&["--console-addr=127.0.0.1:0"]).await;
    let staff = app.staff().await;
    let mut outside = Visitor::new(&app);
    for path in ["/console", "/console/signin", "/console/orders", "/console/live"] {
        assert_eq!(outside.open(path).await.status, 404, "{path}");
    }
    outside.open("/").await.ok().does_not_say("/console");
    let mut inside = Visitor::at_the_console(&app);
    inside.open("/console/signin").await.ok().does_not_say("To the shop");
    let fields = [("email", staff.email.as_str()), ("password", PASSWORD)];
    assert_eq!(inside.send("/console/signin", &fields).await.status, 303);
    inside.open("/console/orders").await.ok();
    for path in ["/", "/v1/products", "/openapi.json", "/health", "/metrics"] {
        assert_eq!(inside.open(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn reports_of_what_the_browser_stopped_are_counted() {
    let app = TestApp::new().await;
    let report = async |body: String| {
        let request = app.http.post(format!("{}/csp", app.url)).header("content-type", "application/csp-report");
        request.body(body).send().await.unwrap().status()
    };
    let real = r#"{"csp-report": {"effective-directive": "script-src-elem", "blocked-uri": "https://evil.example"}}"#;
    assert_eq!(report(real.to_owned()).await, 204);
    assert_eq!(report("nonsense".to_owned()).await, 204);
    assert_eq!(report("x".repeat(5000)).await, 413);
    let metrics = app.http.get(format!("{}/metrics", app.metrics_url)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("\nmillrace_csp_reports_total 2\n"), "{metrics}");
}
