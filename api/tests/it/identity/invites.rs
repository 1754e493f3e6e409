//! `POST /v1/users` and `/v1/auth/invite`: accounts that an administrator makes.

use reqwest::Method;
use serde_json::json;
use testkit::app::{PASSWORD, TestApp};
use testkit::person::Reply;
use uuid::Uuid;

use super::{access_token, count, log_in, login, run};

/// The last part of the link.
fn token_of(invited: &Reply) -> String {
    let url = invited.body["invite_url"].as_str().unwrap();
    url.rsplit('/').next().unwrap().to_owned()
}

async fn accept(app: &TestApp, token: &str, password: &str) -> Reply {
    app.anyone().post("/v1/auth/invite", json!({ "token": token, "password": password })).await
}

#[tokio::test]
async fn an_invited_user_chooses_the_password_by_a_link_that_works_once() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let asked = json!({ "email": "sam@example.com", "name": "Sam Staff", "role": "staff" });
    let invited = admin.post("/v1/users", asked.clone()).await.done(201);
    assert_eq!(invited.header("location"), format!("/v1/users/{}", invited.id()));
    assert_eq!((&invited.body["role"], &invited.body["email"]), (&json!("staff"), &json!("sam@example.com")));
    let token = token_of(&invited);
    assert_eq!(invited.body["invite_url"], format!("{}/invite/{token}", app.url));
    admin.post("/v1/users", asked).await.refused(409, "email_taken");
    assert_eq!(count(&app, "customers").await, 2, "every user can order");

    login(&app, "sam@example.com", PASSWORD).await.refused(401, "invalid_credentials");
    for (password, status, code) in [("password", 422, "weak_password"), ("sam staff", 422, "weak_password")] {
        accept(&app, &token, password).await.refused(status, code);
    }
    for wrong in ["", "nonsense", "%%%"] {
        accept(&app, wrong, PASSWORD).await.refused(401, "invalid_token");
    }
    login(&app, "sam@example.com", PASSWORD).await.refused(401, "invalid_credentials");
    accept(&app, &token, PASSWORD).await.done(204);
    accept(&app, &token, "battery horse correct").await.refused(401, "invalid_token");
    log_in(&app, "sam@example.com", PASSWORD).await.get("/v1/ops/queues").await.done(200);

    let actions = admin.get("/v1/ops/actions?limit=100").await.done(200);
    for action in ["user.invited", "auth.invite_accepted"] {
        assert!(actions.text.contains(action), "{action} is not recorded");
    }
    assert!(!actions.text.contains(&token));
}

#[tokio::test]
async fn a_link_is_good_for_a_day_and_the_next_one_replaces_it() {
    let app = TestApp::new().await;
    let (admin, alice) = (app.admin().await, app.customer().await);
    let path = format!("/v1/users/{}/invite", alice.id);
    let first = token_of(&admin.post(&path, json!({})).await.done(201));
    let second = token_of(&admin.post(&path, json!({})).await.done(201));
    accept(&app, &first, "battery horse correct").await.refused(401, "invalid_token");
    run(&app, "update invites set expires_at = expires_at - interval '24 hours'").await;
    accept(&app, &second, "battery horse correct").await.refused(401, "invalid_token");
    log_in(&app, &alice.email, PASSWORD).await;

    let third = token_of(&admin.post(&path, json!({})).await.done(201));
    run(&app, "update invites set expires_at = expires_at - interval '23 hours 59 minutes'").await;
    accept(&app, &third, "battery horse correct").await.done(204);
    alice.get("/v1/me").await.refused(401, "unauthenticated");
    login(&app, &alice.email, PASSWORD).await.refused(401, "invalid_credentials");
    log_in(&app, &alice.email, "battery horse correct").await;
    admin.post(&format!("/v1/users/{}/invite", Uuid::now_v7()), json!({})).await.refused(404, "user_not_found");
}

#[tokio::test]
async fn only_an_administrator_with_a_fresh_password_invites() {
    let app = TestApp::new().await;
    let (admin, staff, alice) = (app.admin().await, app.staff().await, app.customer().await);
    let asked = json!({ "email": "new@example.com", "name": "New", "role": "admin" });
    app.anyone().post("/v1/users", asked.clone()).await.refused(401, "unauthenticated");
    staff.post("/v1/users", asked.clone()).await.refused(403, "forbidden");
    alice.post("/v1/users", asked.clone()).await.refused(403, "forbidden");
    run(&app, "update sessions set password_at = clock_timestamp() - interval '301 seconds'").await;
    admin.post("/v1/users", asked.clone()).await.refused(403, "password_required");
    admin.post(&format!("/v1/users/{}/invite", alice.id), json!({})).await.refused(403, "password_required");
    assert_eq!((count(&app, "users").await, count(&app, "invites").await), (3, 0));
    admin.post("/v1/me/password/confirm", json!({ "password": PASSWORD })).await.done(204);
    for (field, value, code) in [("email", "n\u{130}w@example.com", "invalid_email"), ("role", "king", "invalid_value")]
    {
        let mut wrong = asked.clone();
        wrong[field] = json!(value);
        admin.post("/v1/users", wrong).await.refused(422, code);
    }
    admin.post("/v1/users", asked).await.done(201);
}

#[tokio::test]
async fn a_replay_answers_without_the_link_which_is_stored_nowhere() {
    let app = TestApp::with(&["--public-url=https://shop.example"]).await;
    let admin = app.admin().await;
    let asked = json!({ "email": "sam@example.com", "name": "Sam", "role": "staff" });
    let first = admin.post_with_key("/v1/users", "k1", asked.clone()).await.done(201);
    let token = token_of(&first);
    assert_eq!(first.body["invite_url"], format!("https://shop.example/invite/{token}"));
    let again = admin.post_with_key("/v1/users", "k1", asked).await.done(201);
    assert_eq!((again.header("idempotent-replayed"), again.id()), ("true", first.id()));
    assert!(again.body["invite_url"].is_null());
    let path = format!("/v1/users/{}/invite", first.id());
    let other = admin.send(Method::POST, &path, Some(json!({})), &[("idempotency-key", "k2")]).await.done(201);
    let replayed = admin.send(Method::POST, &path, Some(json!({})), &[("idempotency-key", "k2")]).await.done(201);
    assert!(other.body["invite_url"].is_string() && replayed.body["invite_url"].is_null());
    accept(&app, &token_of(&other), PASSWORD).await.done(204);
    assert!(!access_token(&login(&app, "sam@example.com", PASSWORD).await.done(200)).is_empty());
}
