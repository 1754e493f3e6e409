//! `/v1/auth/logout` and `/v1/me/password`.

use reqwest::Method;
use serde_json::json;
use testkit::app::{PASSWORD, TestApp};

use super::{access_token, log_in, login, refresh, refresh_token};

// Ending sessions

#[tokio::test]
async fn logging_out_ends_this_session_and_no_other() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let login = login(&app, &alice.email, PASSWORD).await.done(200);
    let here = app.anyone().with(access_token(&login));
    here.get("/v1/me").await.done(200);
    let out = here.send(Method::POST, "/v1/auth/logout", None, &[]).await.done(204);
    assert_eq!(out.text, "");
    here.get("/v1/me").await.refused(401, "unauthenticated");
    here.send(Method::POST, "/v1/auth/logout", None, &[]).await.refused(401, "unauthenticated");
    refresh(&app, refresh_token(&login)).await.refused(401, "invalid_token");
    alice.get("/v1/me").await.done(200);
}

#[tokio::test]
async fn changing_the_password_ends_the_other_sessions() {
    let app = TestApp::new().await;
    let alice = app.customer().await;
    let here = login(&app, &alice.email, PASSWORD).await.done(200);
    let me = app.anyone().with(access_token(&here));
    alice.get("/v1/me").await.done(200);

    let change = json!({ "current_password": PASSWORD, "new_password": "battery horse" });
    me.post("/v1/me/password", change).await.done(204);

    me.get("/v1/me").await.done(200);
    refresh(&app, refresh_token(&here)).await.done(200);
    alice.get("/v1/me").await.refused(401, "unauthenticated");
    login(&app, &alice.email, PASSWORD).await.refused(401, "invalid_credentials");
    login(&app, &alice.email, "battery horse").await.done(200);
}

#[tokio::test]
async fn a_password_change_that_cannot_be_is_refused_and_changes_nothing() {
    let app = TestApp::new().await;
    let (alice, other) = (app.customer().await, app.customer().await);
    let elsewhere = log_in(&app, &alice.email, PASSWORD).await;
    for (current, new, status, code) in
        [("wrong password", "battery horse", 401, "invalid_credentials"), (PASSWORD, "short", 422, "weak_password")]
    {
        let change = json!({ "current_password": current, "new_password": new });
        alice.post("/v1/me/password", change).await.refused(status, code);
    }
    elsewhere.get("/v1/me").await.done(200);
    other.get("/v1/me").await.done(200);
    login(&app, &alice.email, PASSWORD).await.done(200);
}
