//! GraphiQL, in a real browser.

use axum::http::Method;
use serde_json::json;
use testkit::app::{PASSWORD, TestApp};

use crate::driver::Browser;
use crate::visitor::Visitor;

const HERE: &str = "/console/graphiql";

#[tokio::test(flavor = "multi_thread")]
async fn staff_try_a_query_in_graphiql() {
    let app = TestApp::new().await;
    let staff = app.staff().await;
    app.product("BLUE-MUG", 1250, 3).await;
    let browser = Browser::open(&app.url).await;
    browser.sign_in("/console/signin", &staff.email, PASSWORD).await;
    browser.go(HERE).await;
    browser.sees("Ctrl-Enter runs the query").await;
    browser.click(".graphiql-execute-button").await;
    browser.sees("requested").await;
    write(&browser, "{ products(first: 1) { edges { node { sku } } } }").await;
    browser.click(".graphiql-execute-button").await;
    browser.sees("BLUE-MUG").await;
    write(&browser, "{ productz { edges { node { sku } } } }").await;
    browser.click(".graphiql-execute-button").await;
    browser.sees("invalid_query").await;
    for (theme, width) in [("light", 1440), ("dark", 1440), ("light", 390)] {
        browser.scheme(theme).await;
        browser.size(width, 900).await;
        browser.screenshot(&crate::browser::shots().join(format!("graphiql-{theme}-{width}.png"))).await;
    }
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn graphiql_is_for_staff_and_takes_no_query_from_another_site() {
    let app = TestApp::new().await;
    let mut nobody = Visitor::new(&app);
    nobody.open(HERE).await.leads_to("/console/signin?next=%2Fconsole%2Fgraphiql");
    let mut sam = Visitor::signed_in_to_console(&app, &app.staff().await.email).await;
    sam.open(HERE).await.ok().says("GraphiQL needs JavaScript");
    sam.open("/console/graphiql/start.js").await.ok();
    assert_eq!(sam.open("/console/graphiql/page.html").await.status, 404);

    let query = json!({ "query": "{ me { role } }" });
    let request = sam.request(Method::POST, HERE).json(&query);
    sam.take(request).await.ok().says("STAFF");
    let request = sam.request(Method::POST, HERE).json(&query).header("sec-fetch-site", "cross-site");
    assert_eq!(sam.take(request).await.status, 403);

    // Other machines can reach this one, so it is no development.
    let mut cli = testkit::app::settings(&app.database_url, &[]);
    cli.serve.api_addr = "0.0.0.0:0".parse().unwrap();
    let state = api::serve::state(&cli.common, cli.serve).unwrap();
    let public = TestApp::serve(&app.database_url, state).await;
    let mut sam = Visitor::signed_in_to_console(&public, &public.staff().await.email).await;
    assert_eq!(sam.open(HERE).await.status, 404);
}

async fn write(browser: &Browser, query: &str) {
    let script = format!("document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror.setValue({query:?})");
    browser.js(&script).await;
}
