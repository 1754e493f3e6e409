//! `/v1/service-accounts`.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use testkit::app::TestApp;
use testkit::until::until;

use super::{account, holder, make};
use crate::identity::beside;

#[tokio::test]
async fn an_account_is_made_read_listed_and_changed() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let asked = json!({ "name": "Robot", "description": "counts" });
    let made = admin.post("/v1/service-accounts", asked.clone()).await.done(201);
    let path = format!("/v1/service-accounts/{}", made.id());
    assert_eq!(made.header("location"), path);
    assert_eq!((&made.body["name"], &made.body["description"]), (&json!("Robot"), &json!("counts")));
    assert_eq!((&made.body["active"], &made.body["version"]), (&json!(true), &json!(1)));

    let read = admin.get(&path).await.done(200);
    assert_eq!((&read.body, read.header("etag")), (&made.body, "\"1\""));
    let newer = account(&admin).await;
    let listed = admin.get("/v1/service-accounts").await.done(200);
    assert_eq!((&listed.body["data"][0]["id"], &listed.body["data"][1]), (&json!(newer), &read.body));

    let renamed = admin.patch(&path, json!({ "name": "Clerk" })).await.done(200);
    assert_eq!((renamed.header("etag"), &renamed.body["description"]), ("\"2\"", &json!("counts")));
    let stale = admin.send(Method::PATCH, &path, Some(json!({ "name": "X" })), &[("if-match", "\"1\"")]).await;
    stale.refused(412, "version_mismatch");
    assert_eq!(admin.get(&path).await.body["name"], "Clerk");
}

#[tokio::test]
async fn accounts_are_no_users() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let id = account(&admin).await;
    let users = admin.get("/v1/users").await.done(200);
    assert_eq!(users.body["data"].as_array().unwrap().len(), 1, "the administrator alone");
    admin.get(&format!("/v1/users/{id}")).await.refused(404, "user_not_found");
    admin.patch(&format!("/v1/users/{id}"), json!({ "role": "admin" })).await.refused(404, "user_not_found");
    admin.post(&format!("/v1/users/{id}/invite"), json!({})).await.refused(404, "user_not_found");
    admin.delete(&format!("/v1/users/{id}/sessions")).await.refused(404, "user_not_found");
    let found = admin.get(&format!("/v1/search?q={id}")).await.done(200);
    assert!(found.body["data"].as_array().unwrap().is_empty(), "{found:?}");
}

#[tokio::test]
async fn a_request_that_is_wrong_makes_nothing() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    admin.post("/v1/service-accounts", json!({})).await.refused(422, "missing_field");
    admin.post("/v1/service-accounts", json!({ "name": "" })).await.refused(422, "invalid_name");
    admin.post("/v1/service-accounts", json!({ "name": "x", "role": "admin" })).await.refused(422, "unknown_field");
    assert_eq!(app.count("select count(*) from service_accounts").await, 0);
    let nobody = "/v1/service-accounts/019a4f6e-2c10-7d21-9a40-5e1f7b3c8d01";
    admin.get(nobody).await.refused(404, "service_account_not_found");
    admin.patch(nobody, json!({ "active": false })).await.refused(404, "service_account_not_found");
    let key = json!({ "name": "k", "scopes": ["ops:read"] });
    admin.post(&format!("{nobody}/keys"), key).await.refused(404, "service_account_not_found");
}

#[tokio::test]
async fn deactivating_revokes_all_keys_for_good_in_every_process() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let made = make(&admin, json!({ "name": "k", "scopes": ["orders:read"] })).await;
    let account = made.body["service_account_id"].as_str().unwrap();
    let robot = holder(&app, &made);
    let other = beside(&app, |settings| settings.caller_believed_for = Duration::from_millis(300)).await;
    let robot_there = holder(&other, &made);
    robot.get("/v1/me").await.done(200);
    robot_there.get("/v1/me").await.done(200);

    let path = format!("/v1/service-accounts/{account}");
    admin.patch(&path, json!({ "active": false })).await.done(200);
    robot.get("/v1/me").await.refused(401, "unauthenticated");
    until("the other process knows", async || robot_there.get("/v1/me").await.status == 401).await;
    let key = json!({ "name": "k", "scopes": ["orders:read"] });
    admin.post(&format!("{path}/keys"), key.clone()).await.refused(409, "service_account_inactive");

    admin.patch(&path, json!({ "active": true })).await.done(200);
    robot.get("/v1/me").await.refused(401, "unauthenticated");
    assert_eq!(admin.get(made.header("location")).await.body["state"], "revoked");
    admin.post(&format!("{path}/keys"), key).await.done(201);
}

#[tokio::test]
async fn what_administrators_do_is_recorded() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let made = make(&admin, json!({ "name": "k", "scopes": ["orders:read"] })).await;
    admin.delete(made.header("location")).await.done(204);
    let actions = admin.get("/v1/ops/actions").await.done(200);
    let actions: Vec<&str> =
        actions.body["data"].as_array().unwrap().iter().map(|action| action["action"].as_str().unwrap()).collect();
    for action in ["service_account.created", "api_key.created", "api_key.revoked"] {
        assert!(actions.contains(&action), "{action} in {actions:?}");
    }
}
