//! `/v1/users`.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::app::{PASSWORD, TestApp};
use testkit::person::Person;
use testkit::until::until;
use uuid::Uuid;

use super::{beside, log_in, login, refresh, refresh_token};

// Administering

#[tokio::test]
async fn deactivating_ends_the_sessions_here_at_once_and_in_every_process_in_time() {
    let app = TestApp::new().await;
    let (admin, alice) = (app.admin().await, app.customer().await);
    let login = login(&app, &alice.email, PASSWORD).await.done(200);
    let other = beside(&app, |settings| settings.caller_believed_for = Duration::from_millis(300)).await;
    let alice_there = other.anyone().with(alice.token.as_ref().unwrap());
    alice_there.get("/v1/me").await.done(200);
    alice.get("/v1/me").await.done(200);

    let path = format!("/v1/users/{}", alice.id);
    let user = admin.patch(&path, json!({ "active": false })).await.done(200);
    assert_eq!(user.body["active"], false);

    alice.get("/v1/me").await.refused(401, "unauthenticated");
    refresh(&app, refresh_token(&login)).await.refused(401, "invalid_token");
    until("the other process knows", async || alice_there.get("/v1/me").await.status == 401).await;

    admin.patch(&path, json!({ "active": true })).await.done(200);
    alice.get("/v1/me").await.refused(401, "unauthenticated");
    refresh(&app, refresh_token(&login)).await.refused(401, "invalid_token");
    log_in(&app, &alice.email, PASSWORD).await.get("/v1/me").await.done(200);
}

#[tokio::test]
async fn a_role_that_is_given_or_taken_counts_for_tokens_that_are_out() {
    let app = TestApp::new().await;
    let (admin, alice) = (app.admin().await, app.customer().await);
    let path = format!("/v1/users/{}", alice.id);
    alice.get("/v1/users").await.refused(403, "forbidden");
    admin.patch(&path, json!({ "role": "admin" })).await.done(200);
    alice.get("/v1/users").await.done(200);
    admin.patch(&path, json!({ "role": "staff" })).await.done(200);
    alice.get("/v1/users").await.refused(403, "forbidden");
}

#[tokio::test]
async fn users_are_administered_by_administrators_only() {
    let app = TestApp::new().await;
    let (admin, staff, customer, target) =
        (app.admin().await, app.staff().await, app.customer().await, app.customer().await);
    let path = format!("/v1/users/{}", target.id);
    for (method, path, body) in [
        (Method::GET, "/v1/users", None),
        (Method::GET, &*path, None),
        (Method::PATCH, &*path, Some(json!({ "role": "staff" }))),
    ] {
        let send = async |person: &Person<'_>| person.send(method.clone(), path, body.clone(), &[]).await;
        send(&app.anyone()).await.refused(401, "unauthenticated");
        send(&customer).await.refused(403, "forbidden");
        send(&staff).await.refused(403, "forbidden");
        assert_eq!(role_of(&app, target.id).await, "customer");
        send(&admin).await.done(200);
    }
    assert_eq!(role_of(&app, target.id).await, "staff");
    for (method, path) in
        [(Method::GET, "/v1/me"), (Method::POST, "/v1/me/password"), (Method::POST, "/v1/auth/logout")]
    {
        app.anyone().send(method, path, None, &[]).await.refused(401, "unauthenticated");
    }
}

#[tokio::test]
async fn users_are_listed_page_by_page_and_found_by_their_address() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let mut ids = vec![admin.id.to_string()];
    let mut last = None;
    for _ in 0..4 {
        let person = app.customer().await;
        ids.push(person.id.to_string());
        last = Some(person);
    }
    let (mut seen, mut path) = (Vec::new(), "/v1/users?limit=2".to_owned());
    loop {
        let page = admin.get(&path).await.done(200);
        seen.extend(page.body["data"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap().to_owned()));
        assert!(!page.text.contains("argon2"));
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = format!("/v1/users?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ids);

    let last = last.unwrap();
    let found = admin.get(&format!("/v1/users?email={}", last.email.to_uppercase())).await.done(200);
    assert_eq!(found.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(found.body["data"][0]["id"], last.id.to_string());
    for (filter, count) in [
        ("role=admin".to_owned(), 1),
        ("role=customer&active=true".to_owned(), 4),
        ("role=customer&active=false".to_owned(), 0),
        (format!("q={}", &last.email[..last.email.len() - 4].to_uppercase()), 1),
        ("q=me%20on".to_owned(), 5),
        ("q=100%25".to_owned(), 0),
    ] {
        let found = admin.get(&format!("/v1/users?{filter}")).await.done(200);
        assert_eq!(found.body["data"].as_array().unwrap().len(), count, "{filter}");
    }
    admin.get("/v1/users?role=king").await.refused(422, "invalid_value");
    admin.get("/v1/users?limit=501").await.refused(422, "invalid_limit");
    admin.get("/v1/users?colour=red").await.refused(422, "unknown_field");
}

#[tokio::test]
async fn a_user_is_changed_only_as_it_was_seen() {
    let app = TestApp::new().await;
    let (admin, alice) = (app.admin().await, app.customer().await);
    let path = format!("/v1/users/{}", alice.id);
    let seen = admin.get(&path).await.done(200);
    assert_eq!(seen.header("etag"), "\"1\"");
    let patch = async |tag: &str, body: Value| admin.send(Method::PATCH, &path, Some(body), &[("if-match", tag)]).await;
    let changed = patch("\"1\"", json!({ "role": "staff" })).await.done(200);
    assert_eq!((changed.header("etag"), &changed.body["role"]), ("\"2\"", &json!("staff")));
    patch("\"1\"", json!({ "role": "admin" })).await.refused(412, "version_mismatch");
    assert_eq!(role_of(&app, alice.id).await, "staff");

    let nobody = format!("/v1/users/{}", Uuid::now_v7());
    admin.patch(&nobody, json!({ "role": "staff" })).await.refused(404, "user_not_found");
    admin.get(&nobody).await.refused(404, "user_not_found");
    admin.patch("/v1/users/nobody", json!({ "role": "staff" })).await.refused(404, "not_found");
    admin.patch(&path, json!({ "role": "king" })).await.refused(422, "invalid_value");
    admin.patch(&path, json!({ "email": "x@example.com" })).await.refused(422, "unknown_field");
    assert_eq!(role_of(&app, alice.id).await, "staff");
}

#[tokio::test]
async fn the_last_administrator_stays_one() {
    let app = TestApp::new().await;
    let (admin, former) = (app.admin().await, app.admin().await);
    let path = format!("/v1/users/{}", admin.id);
    admin.patch(&format!("/v1/users/{}", former.id), json!({ "active": false })).await.done(200);
    for change in
        [json!({ "active": false }), json!({ "role": "staff" }), json!({ "role": "customer", "active": true })]
    {
        admin.patch(&path, change).await.refused(409, "last_admin");
    }
    assert_eq!(admin.get(&path).await.done(200).header("etag"), "\"1\"");
    admin.get("/v1/users").await.done(200);
}

#[tokio::test]
async fn of_two_administrators_who_demote_each_other_one_is_left() {
    let app = TestApp::new().await;
    let (one, other) = (app.admin().await, app.admin().await);
    let demote = async |by: &Person<'_>, whom: &Person<'_>| {
        by.patch(&format!("/v1/users/{}", whom.id), json!({ "role": "customer" })).await
    };
    tokio::join!(demote(&one, &other), demote(&other, &one));
    let left: i64 = sqlx::query_scalar("select count(*) from users where role = 'admin' and active")
        .fetch_one(&app.db)
        .await
        .unwrap();
    assert_eq!(left, 1);
}

async fn role_of(app: &TestApp, id: Uuid) -> String {
    sqlx::query_scalar("select role from users where id = $1").bind(id).fetch_one(&app.db).await.unwrap()
}
