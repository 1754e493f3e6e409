//! `/v1/auth/logout`, `/v1/me/password` and `/v1/me/sessions`.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::app::{PASSWORD, TestApp};
use testkit::person::Person;
use uuid::Uuid;

use super::{access_token, claims_of, log_in, login, refresh, refresh_token};

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

// Seeing sessions

fn session_of(person: &Person<'_>) -> String {
    claims_of(person.token.as_ref().unwrap())["sid"].as_str().unwrap().to_owned()
}

async fn sessions(person: &Person<'_>) -> Vec<Value> {
    person.get("/v1/me/sessions").await.done(200).body["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_user_sees_where_they_are_signed_in_and_ends_it() {
    let app = TestApp::with(&["--trusted-proxies=127.0.0.1"]).await;
    let (alice, bob) = (app.customer().await, app.customer().await);
    let body = json!({ "email": alice.email, "password": PASSWORD });
    let elsewhere = [("x-forwarded-for", "198.51.100.7"), ("user-agent", "Telephone/7")];
    let there = app.anyone().send(Method::POST, "/v1/auth/login", Some(body), &elsewhere).await.done(200);
    let telephone = app.anyone().with(access_token(&there));

    let seen = sessions(&alice).await;
    assert_eq!(seen.len(), 2, "{seen:#?}");
    assert_eq!((&seen[0]["id"], &seen[0]["current"]), (&json!(session_of(&alice)), &json!(true)));
    assert_eq!((&seen[1]["id"], &seen[1]["current"]), (&json!(session_of(&telephone)), &json!(false)));
    assert_eq!((&seen[1]["surface"], &seen[1]["address"]), (&json!("api"), &json!("198.51.100.7")));
    assert_eq!(seen[1]["user_agent"], "Telephone/7");
    assert!(
        ["created_at", "last_seen_at", "expires_at"].iter().all(|it| seen[1][*it].as_str().unwrap().ends_with('Z'))
    );
    let moved = [("x-forwarded-for", "198.51.100.8"), ("user-agent", "Telephone/8")];
    let body = json!({ "refresh_token": refresh_token(&there) });
    let there = app.anyone().send(Method::POST, "/v1/auth/refresh", Some(body), &moved).await.done(200);
    let seen = sessions(&alice).await;
    assert_eq!((&seen[1]["address"], &seen[1]["user_agent"]), (&json!("198.51.100.8"), &json!("Telephone/8")));
    let first = alice.get("/v1/me/sessions?limit=1").await.done(200);
    let second = format!("/v1/me/sessions?limit=1&cursor={}", first.body["next_cursor"].as_str().unwrap());
    assert_eq!(alice.get(&second).await.done(200).body["data"][0]["id"], session_of(&telephone));

    let path = format!("/v1/me/sessions/{}", session_of(&telephone));
    bob.delete(&path).await.refused(404, "session_not_found");
    telephone.get("/v1/me").await.done(200);
    alice.delete(&path).await.done(204);
    telephone.get("/v1/me").await.refused(401, "unauthenticated");
    refresh(&app, refresh_token(&there)).await.refused(401, "invalid_token");
    alice.delete(&path).await.refused(404, "session_not_found");
    alice.delete(&format!("/v1/me/sessions/{}", Uuid::now_v7())).await.refused(404, "session_not_found");
    assert_eq!(sessions(&alice).await.len(), 1);
    assert_eq!(sessions(&bob).await.len(), 1);
    let admin = app.admin().await;
    let ended = admin.get("/v1/ops/actions?action=auth.session_ended").await.done(200);
    assert_eq!(ended.body["data"][0]["by"]["id"], alice.id.to_string());
}

#[tokio::test]
async fn a_session_is_seen_at_most_once_a_minute() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer().await, app.customer().await);
    let age = async |person: &Person<'_>| -> f64 {
        sqlx::query_scalar(
            "select extract(epoch from clock_timestamp() - last_seen_at)::float8 from sessions where id = $1::uuid",
        )
        .bind(session_of(person))
        .fetch_one(&app.db)
        .await
        .unwrap()
    };
    let put_back = async |person: &Person<'_>, seconds: i32| {
        sqlx::query(
            "update sessions set last_seen_at = clock_timestamp() - make_interval(secs => $2) where id = $1::uuid",
        )
        .bind(session_of(person))
        .bind(seconds)
        .execute(&app.db)
        .await
        .unwrap();
    };
    put_back(&alice, 40).await;
    put_back(&bob, 61).await;
    alice.get("/v1/me").await.done(200);
    bob.get("/v1/me").await.done(200);
    assert!(age(&alice).await >= 40.0, "seen less than a minute ago");
    assert!(age(&bob).await < 40.0, "seen just now");
}
