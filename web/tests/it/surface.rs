//! What holds for every page: its headers, its errors, its files.

use testkit::app::TestApp;
use testkit::person::Reply;

use crate::tab::Tab;

#[tokio::test]
async fn every_page_has_its_headers() {
    let app = TestApp::with(&["--cors-origins=*"]).await;
    app.product("mug", 1200, 5).await;
    let staff = app.staff().await;
    let order = staff.order("mug", "tok_ok").await;
    let number = staff.see(&order).await["number"].as_str().unwrap().to_owned();
    let (shop, console) = (Tab::shopping(&staff).await, Tab::working(&staff).await);
    let (_, policies) = api::routes::all().into_parts();
    let mut seen = 0;
    for (method, path, policy) in policies.iter() {
        let api::policy::Face::Html(surface) = policy.face else { continue };
        let path = path.replace("{number}", &number).replace("{sku}", "mug").replace("{*file}", "time.js");
        let path = path.replace("{category}", "None").replace("{job}", "0").replace("{name}", "low");
        let tab = if surface == shared::principal::Surface::Shop { &shop } else { &console };
        // A form that nobody sent: it is refused, or leads on.
        let request = tab.request(method.clone(), &path);
        let request = if path.ends_with("signout") { request.header("sec-fetch-site", "cross-site") } else { request };
        let reply =
            Reply::of(request.header("origin", if path.ends_with("signout") { "null" } else { &app.url })).await;
        has_page_headers(&reply, &path);
        assert!(reply.status.as_u16() < 500, "{method} {path}: {reply:?}");
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}

#[track_caller]
fn has_page_headers(reply: &Reply, path: &str) {
    let csp = reply.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(csp.contains(part), "{path}: {csp}");
    }
    assert!(!csp.contains("unsafe"), "{path}: {csp}");
    for (name, value) in [
        ("referrer-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(reply.header(name), value, "{path}");
    }
    assert!(reply.headers.get("access-control-allow-origin").is_none(), "{path}");
    assert!(!reply.header("cache-control").is_empty() && !reply.header("permissions-policy").is_empty(), "{path}");
    if path.starts_with("/console") {
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_page_for_browsers_and_json_for_programs() {
    let app = TestApp::new().await;
    let tab = Tab::new(&app);
    for path in ["/nothing", "/p/NOTHING", "/c/Nothing", "/assets/nothing.js", "/assets/..%2Flib.rs"] {
        let missing = tab.open(path).await.done(404);
        assert!(missing.header("content-type").starts_with("text/html"), "{path}: {missing:?}");
        assert!(missing.text.contains(missing.header("x-request-id")), "{path}");
        has_page_headers(&missing, path);
    }
    app.anyone().get("/nothing").await.refused(404, "not_found");
    tab.open("/v1/nothing").await.refused(404, "not_found");
    tab.send("/p/NOTHING", &[]).await.done(405);
}

#[tokio::test]
async fn files_are_kept_for_ever_at_the_address_that_has_their_hash() {
    let app = TestApp::new().await;
    let tab = Tab::new(&app);
    let hashed = tab.open(&web::assets::href("millrace.css")).await.done(200);
    assert_eq!(hashed.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(hashed.header("content-type"), "text/css; charset=utf-8");
    let plain = tab.open("/assets/millrace.css?v=other").await.done(200);
    assert_eq!(plain.header("cache-control"), "public, max-age=3600");
}

#[tokio::test]
async fn shop_and_console_can_be_off() {
    let app = TestApp::with(&["--shop=off"]).await;
    let tab = Tab::new(&app);
    tab.open("/").await.done(404);
    tab.open("/cart").await.done(404);
    tab.open("/console/signin").await.done(200);
    let app = TestApp::with(&["--console=off"]).await;
    let tab = Tab::new(&app);
    tab.open("/").await.done(200);
    tab.open("/console").await.done(404);
    let app = TestApp::with(&["--console=off", "--shop=off"]).await;
    Tab::new(&app).open("/assets/millrace.css").await.done(404);
    app.anyone().get("/v1/products").await.done(200);
}
